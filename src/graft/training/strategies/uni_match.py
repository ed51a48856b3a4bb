"""UniMatch: two strong views, and features of which half are dropped."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

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

DROPPED = 0.5


class UniMatch(SemiSupervised):
    """Learns on two strong views, and on perturbed features of the weak one, what the teacher is sure of."""

    def unlabelled_loss(self, weak: UnlabelledBatch, *labelled: Any) -> Tensor:
        """Half the loss of the perturbed features, and a quarter of each strong view's."""
        targets = self.pseudo_labels(weak)
        hook = self.trainee.model.backbone.register_forward_hook(drop_channels)
        try:
            perturbed = pseudo_label_loss(self.learn(weak.images), targets)
        finally:
            hook.remove()
        views = [self.strong_view(weak.images, targets, number) for number in range(2)]
        images, labels = (torch.cat(parts) for parts in zip(*views, strict=True))
        return perturbed / 2 + pseudo_label_loss(self.learn(images), labels) / 2  # a mean over both: a quarter of each


def drop_channels(_: nn.Module, __: Any, features: Any) -> Any:
    """A forward hook that sets half of the channels of each feature map to zero and doubles the others."""
    return tree_map_only(Tensor, lambda maps: F.dropout2d(maps, DROPPED) if maps.ndim == 4 else maps, features)


@moving_as_supervised
def uni_match(
    loss: WeightedSum,
    *,
    unlabelled_weight: UnlabelledWeight = 1.0,
    confidence_threshold: Threshold = 0.95,
    unlabelled_per_labelled: PerLabelled = 1,
    **movement: Any,
) -> UniMatch:
    """`fix_match` for masks with two strong views and a third one in the features: more is learnt from each image.

    The loss is that of the labels plus w · (λ h(fp) + μ/2 (h(s1) + h(s2))) with λ = μ = 1/2 and h(v) = 1/N Σ_i
    [max_c q_i(c) ≥ τ] · H(argmax_c q_i(c), p_i(v)): q is the teacher's answer to the weak view, fp the weak view with
    half of the channels of its features dropped between backbone and head, s1 and s2 strong views as in `fix_match`
    (Yang et al. 2023, "Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation", equations 4 to
    6). A step costs twice that of `fix_match`. The best of these on the paper's benchmarks of segmentation; where time
    counts, compare it with a longer `fix_match`. With weight 0 it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        unlabelled_weight: Factor of the loss of unlabelled images, w.
        confidence_threshold: Least probability of an answer that is learnt from, τ.
        unlabelled_per_labelled: Number of unlabelled images beside each labelled one; more cost more time a step.

    Raises:
        GraftError: There are no unlabelled images, or options that make no sense together.
    """
    return UniMatch("uni_match", loss, unlabelled_weight, confidence_threshold, unlabelled_per_labelled, movement)
