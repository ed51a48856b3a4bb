"""How far predictions and truth cover each other: the soft counts that Dice, generalised Dice and Tversky rest on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graft.foundation.class_map import ignored_target
from graft.training.losses.pixelwise import one_hot


class SoftCounts(NamedTuple):
    """Sums over all pixels (or images) of a batch that are not ignored, float [K] each.

    Attributes:
        overlap: Sum of p * g, with p the softmax of the logits and g the one-hot target.
        predicted: Sum of p.
        truth: Sum of g: the number of pixels of each class.
    """

    overlap: Tensor
    predicted: Tensor
    truth: Tensor


def soft_counts(logits: Tensor, targets: Tensor) -> SoftCounts:
    """The soft counts of logits [B, K, …] against targets [B, …]."""
    counted = (targets != ignored_target(logits.shape[1])).unsqueeze(1)
    truth, probabilities = one_hot(targets, logits), logits.softmax(1) * counted
    over = [axis for axis in range(logits.ndim) if axis != 1]
    return SoftCounts((probabilities * truth).sum(over), probabilities.sum(over), truth.sum(over))


def mean_of_present(losses: Tensor, counts: SoftCounts, class_weights: Tensor | None) -> Tensor:
    """The mean of losses [K] over the classes the batch has, weighted by `class_weights` [K]; zero where none is."""
    weights = (counts.truth > 0).to(losses.dtype) * (1 if class_weights is None else class_weights)
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)
