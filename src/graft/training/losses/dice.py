"""Soft Dice over the classes of a batch."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graft.training.losses.overlap import mean_of_present, soft_counts


def dice(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None, *, smooth: Annotated[float, Field(ge=0)] = 1.0
) -> Tensor:
    """One minus soft Dice, averaged over the classes present in the batch: 1 - (2 sum p*g + s) / (sum p + sum g + s).

    p is the softmax, g the one-hot target, s `smooth`; the sums run over all pixels of the batch that are not ignored.
    A class no pixel of the batch has is left out of the mean: its share of p already costs the others. It helps where
    classes differ much in size, as each counts the same; add cross-entropy, whose gradients are steadier.

    Milletari et al. 2016, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
    equation 3, with the squares of the denominator left out, as in Sudre et al. 2017.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean over classes, or None for ones.
        smooth: Added to numerator and denominator, in pixels.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.
    """
    counts = soft_counts(logits, targets)
    sizes = (counts.predicted + counts.truth + smooth).clamp_min(torch.finfo(logits.dtype).tiny)
    return mean_of_present(1 - (2 * counts.overlap + smooth) / sizes, counts, class_weights)
