"""Pseudo-labels: the model's own answers, where it is sure, are labels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graft.training.losses import WeightedSum
from graft.training.strategies.semi_supervised import (
    PerLabelled,
    RampUp,
    SemiSupervised,
    Threshold,
    UnlabelledWeight,
    pseudo_label_loss,
)
from graft.training.strategies.shared_options import moving_as_supervised
from graft.training.strategies.unlabelled_batches import UnlabelledBatch


class PseudoLabels(SemiSupervised):
    """Learns on a view what the teacher is sure of on the same view.

    Args:
        ramp_up_epochs: Number of epochs in which the weight rises from zero.
        others: Arguments of `SemiSupervised`.
    """

    def __init__(self, ramp_up_epochs: int, *others: Any) -> None:
        super().__init__(*others)
        self.ramp_up_epochs = ramp_up_epochs

    def factor(self) -> float:
        """The weight, risen in equal steps."""
        return self.weight * min(1.0, self.trainee.epoch / max(self.ramp_up_epochs, 1))

    def unlabelled_loss(self, weak: UnlabelledBatch, *labelled: Any) -> Tensor:
        """The loss of the weak view."""
        return pseudo_label_loss(self.learn(weak.images), self.pseudo_labels(weak))


@moving_as_supervised
def pseudo_labels(
    loss: WeightedSum,
    *,
    unlabelled_weight: UnlabelledWeight = 1.0,
    confidence_threshold: Threshold = 0.95,
    unlabelled_per_labelled: PerLabelled = 1,
    ramp_up_epochs: RampUp = 3,
    **movement: Any,
) -> PseudoLabels:
    """Unlabelled images with the model's own answers as labels, where it is sure of them.

    The loss is that of the labels plus α(t) · 1/N Σ_i [max_c q_i(c) ≥ τ] · H(argmax_c q_i(c), p_i), with q the
    teacher's and p the student's answer to the same weak view; α is 0 in the first epoch and rises to the weight in
    equal steps (Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
    Networks", equations 15 and 16, which has no threshold). The answers are asked for anew at every step and not kept
    in rounds: they are never older than the model, and nothing has to be stored or repeated. The simplest that learns
    without labels, and what the others are compared with: a model learns little from what it knows already, and its
    errors with it (confirmation bias), so `fix_match` is mostly better. With weight 0 it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        unlabelled_weight: Factor of the loss of unlabelled images, reached after `ramp_up_epochs`.
        confidence_threshold: Least probability of an answer that is learnt from, τ.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.
        ramp_up_epochs: Number of epochs in which the factor rises; 0 has it in full from the second epoch on.

    Raises:
        GraftError: There are no unlabelled images, or options that make no sense together.
    """
    settings = (unlabelled_weight, confidence_threshold, unlabelled_per_labelled)
    return PseudoLabels(ramp_up_epochs, "pseudo_labels", loss, *settings, movement)
