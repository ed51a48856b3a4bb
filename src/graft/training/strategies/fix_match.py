"""FixMatch: the answer to a weak view is the target of a strong one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graft.training.losses import WeightedSum
from graft.training.strategies.semi_supervised import (
    PerLabelled,
    SemiSupervised,
    Threshold,
    UnlabelledWeight,
    pseudo_label_loss,
)
from graft.training.strategies.shared_options import moving_as_supervised
from graft.training.strategies.unlabelled_batches import UnlabelledBatch


class FixMatch(SemiSupervised):
    """Learns on a strong view what the teacher is sure of on the weak one."""

    def unlabelled_loss(self, weak: UnlabelledBatch, *labelled: Any) -> Tensor:
        """The loss of one strong view."""
        strong, targets = self.strong_view(weak.images, self.pseudo_labels(weak))
        return pseudo_label_loss(self.learn(strong), targets)


@moving_as_supervised
def fix_match(
    loss: WeightedSum,
    *,
    unlabelled_weight: UnlabelledWeight = 1.0,
    confidence_threshold: Threshold = 0.95,
    unlabelled_per_labelled: PerLabelled = 1,
    **movement: Any,
) -> FixMatch:
    """Few labels and many unlabelled images: what the model is sure of on a weak view, it learns on a strong one.

    The loss is that of the labels plus w · 1/N Σ_i [max_c q_i(c) ≥ τ] · H(argmax_c q_i(c), p_i), where q is the
    teacher's answer to an image that is only moved and cropped, and p the student's to the same with other light,
    contrast, colour and blur, and for masks, in half of the batches, with a box of another unlabelled image pasted in
    (Sohn et al. 2020, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", equations 3 and
    4; for masks pixel by pixel, with CutMix as in French et al. 2020). N counts all pixels (or images), so that little
    is learnt from unlabelled images before the model is sure of something. The teacher is the model itself, as in the
    paper, or with `fine_tune.averaging: ema` the average of its weights, which errs less early on. A first choice of
    those that learn without labels. Not for unlabelled images of things that no class describes: each gets one. The
    paper has 7 unlabelled images for each labelled one. With weight 0 it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        unlabelled_weight: Factor of the loss of unlabelled images, w.
        confidence_threshold: Least probability of an answer that is learnt from, τ.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.

    Raises:
        GraftError: There are no unlabelled images, or options that make no sense together.
    """
    return FixMatch("fix_match", loss, unlabelled_weight, confidence_threshold, unlabelled_per_labelled, movement)
