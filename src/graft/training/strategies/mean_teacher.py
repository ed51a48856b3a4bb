"""Mean teacher: the average of the weights teaches the weights, and two views of an image get one answer."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from graft.training.losses import WeightedSum
from graft.training.strategies.semi_supervised import PerLabelled, RampUp, SemiSupervised, UnlabelledWeight
from graft.training.strategies.shared_options import moving_as_supervised
from graft.training.strategies.unlabelled_batches import UnlabelledBatch
from graft.training.strong_colours import change_colours


class MeanTeacher(SemiSupervised):
    """Learns to answer a strong view as the teacher answers the weak one.

    Args:
        ramp_up_epochs: Number of epochs in which the weight rises.
        others: Arguments of `SemiSupervised`.
    """

    def __init__(self, ramp_up_epochs: int, *others: Any) -> None:
        super().__init__(*others)
        self.ramp_up_epochs = ramp_up_epochs

    def factor(self) -> float:
        """The weight times exp(-5 (1 - t)²)."""
        return self.weight * ramp_up(self.trainee.epoch, self.ramp_up_epochs)

    def unlabelled_loss(self, weak: UnlabelledBatch, *labelled: Any) -> Tensor:
        """The squared distance of the answers."""
        taught = self.teach(weak.images)
        self.watch.count(taught.argmax(1), weak.inside, weak.inside)
        learnt = self.learn(change_colours(weak.images, self.context.channels)).softmax(1)
        return squared_distance(learnt, taught, weak.inside)

    def tighten(self) -> str:
        """Halves the weight: there is no threshold to raise."""
        self.weight /= 2
        return f"the weight of unlabelled images is {self.weight:.4g} now"


def ramp_up(epoch: int, num_epochs: int) -> float:
    """exp(-5 (1 - t)²), where t rises from 0 in the first epoch to 1 after `num_epochs` (Laine & Aila 2017)."""
    return math.exp(-5 * (1 - min(1.0, epoch / num_epochs)) ** 2) if num_epochs else 1.0


def squared_distance(probabilities: Tensor, others: Tensor, inside: Tensor) -> Tensor:
    """1/N sum_i sum_c (p_ic - q_ic)² over the N pixels (or images) that are inside; zero where none is.

    Args:
        probabilities: [B, K] or [B, K, H, W].
        others: The same shape.
        inside: bool [B] or [B, H, W].
    """
    distances = (probabilities - others).square().sum(1)
    return (distances * inside).sum() / inside.sum().clamp_min(1)


@moving_as_supervised
def mean_teacher(
    loss: WeightedSum,
    *,
    unlabelled_weight: UnlabelledWeight = 1.0,
    unlabelled_per_labelled: PerLabelled = 1,
    ramp_up_epochs: RampUp = 3,
    **movement: Any,
) -> MeanTeacher:
    """Two views of an unlabelled image get the same answer, and the average of the weights knows it better.

    The loss is that of the labels plus w(t) · 1/N Σ_i Σ_c (p_i(c) - q_i(c))², with q the answer of the teacher, whose
    weights are the exponential moving average of the student's, to a weak view and p the student's to a strong one
    (Tarvainen & Valpola 2017, "Mean teachers are better role models", section 2 and equation 1); w rises as
    exp(-5 (1 - t)²). The teacher is `fine_tune.averaging: ema`, which this needs, and it is also what is validated and
    kept. Soft answers and no threshold: steadier than `fix_match` where classes are hard to tell apart and nobody is
    ever sure, weaker where the model could be. With weight 0 it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        unlabelled_weight: Factor of the distance, w. The paper's 100 (of a mean over ten classes, which is 10 here) is
            for long training from scratch; a short fine-tuning on few labels learnt less from them at 10.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.
        ramp_up_epochs: Number of epochs in which the factor rises; 0 has it in full from the start.

    Raises:
        GraftError: There are no unlabelled images, no average, or options that make no sense together.
    """
    settings = (unlabelled_weight, 0.0, unlabelled_per_labelled)
    return MeanTeacher(ramp_up_epochs, "mean_teacher", loss, *settings, movement)
