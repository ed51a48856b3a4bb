"""FlexMatch: classes that are learnt more slowly are believed sooner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.models.architectures import Model
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.strategies.fix_match import FixMatch
from graft.training.strategies.semi_supervised import PerLabelled, Threshold, UnlabelledWeight
from graft.training.strategies.shared_options import moving_as_supervised
from graft.training.strategies.unlabelled_batches import UnlabelledBatch

NOT_YET = -1


class FlexMatch(FixMatch):
    """FixMatch with a threshold for each class, by how many images were last taken for it with confidence.

    Attributes:
        taken_for: Class that each unlabelled image was last taken for with confidence, int64 [N]; -1 where never.
    """

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Begins with images that were taken for nothing yet."""
        if self.looks_at_unlabelled:
            assert self.context.unlabelled is not None
            number, device = self.context.unlabelled.num_samples, forward.scale.device
            self.taken_for = torch.full((number,), NOT_YET, dtype=torch.int64, device=device)
        return super().prepare(model, views, forward)

    def pseudo_labels(self, weak: UnlabelledBatch) -> Tensor:
        """Targets [B] by the thresholds as they stood; then what was taken for which class with confidence is noted."""
        probabilities = self.teach(weak.images)
        confidence, labels = probabilities.max(1)
        thresholds = flexible_thresholds(self.taken_for, probabilities.shape[1], self.threshold)
        accepted = confidence >= thresholds[labels]
        self.watch.count(labels, accepted, weak.inside)
        numbers, sure = torch.from_numpy(weak.numbers).to(labels.device), confidence >= self.threshold
        self.taken_for[numbers[sure]] = labels[sure]
        return torch.where(accepted, labels, self.ignored)

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        return super().state() | ({"taken_for": self.taken_for} if self.looks_at_unlabelled else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        super().restore(state)
        if self.looks_at_unlabelled:
            self.taken_for.copy_(state["taken_for"])


def flexible_thresholds(taken_for: Tensor, num_classes: int, threshold: float) -> Tensor:
    """The threshold of each class: M(β_c) · τ with M(x) = x / (2 - x), float64 [K].

    β_c is the number of images taken for class c, divided by the largest of these numbers, or by the number of images
    that were taken for none where that is larger: then all thresholds are low at first (Zhang et al. 2021, "FlexMatch:
    Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling", equations 5 to 8 and 11).

    Args:
        taken_for: Class of each image, int64 [N]; -1 where there is none yet.
        num_classes: K.
        threshold: τ.
    """
    counts = torch.bincount(taken_for + 1, minlength=num_classes + 1).double()
    beta = counts[1:] / counts.max().clamp_min(1)
    return beta / (2 - beta) * threshold


@moving_as_supervised
def flex_match(
    loss: WeightedSum,
    *,
    unlabelled_weight: UnlabelledWeight = 1.0,
    confidence_threshold: Threshold = 0.95,
    unlabelled_per_labelled: PerLabelled = 1,
    **movement: Any,
) -> FlexMatch:
    """`fix_match` for a classifier whose classes are not equally hard: each has a threshold that rises as it is learnt.

    The loss is that of `fix_match` with τ_c = M(β_c) · τ for class c in the place of τ, where β_c says how many of the
    unlabelled images the model was last sure to be of c, compared with the class that has most, and M(x) = x / (2 - x)
    (Zhang et al. 2021, "FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling"). Helps where
    `fix_match` accepts almost nothing of some class for long, which its curves show. As long as the model is sure of
    few images all thresholds are low, which wants a model that begins with useful features. Where classes are not
    equally frequent, a rare class counts as one that is hard, and is believed too early. With weight 0 it is
    `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        unlabelled_weight: Factor of the loss of unlabelled images, w.
        confidence_threshold: Largest threshold of a class, τ.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.

    Raises:
        GraftError: There are no unlabelled images, or options that make no sense together.
    """
    return FlexMatch("flex_match", loss, unlabelled_weight, confidence_threshold, unlabelled_per_labelled, movement)
