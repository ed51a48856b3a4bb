"""Soft Dice over the classes of a batch."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graft.sample import ignored_target


def dice(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None, *, smooth: Annotated[float, Field(ge=0)] = 1.0
) -> Tensor:
    """One minus soft Dice, averaged over the classes present in the batch: 1 - (2 sum p*g + s) / (sum p + sum g + s).

    p is the softmax, g the one-hot target, s `smooth`; the sums run over all pixels of the batch that are not ignored
    (Milletari et al. 2016, "V-Net", equation 3, with the squares of the denominator left out, as in Sudre et al.
    2017). A class no pixel of the batch has is left out of the mean: its share of p already costs the others.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean over classes, or None for ones.
        smooth: Added to numerator and denominator, in pixels.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.
    """
    counted = (targets != ignored_target(logits.shape[1])).unsqueeze(1)
    ids = torch.arange(logits.shape[1], device=logits.device).view(1, -1, *[1] * (targets.ndim - 1))
    truth = (targets.unsqueeze(1) == ids).to(logits.dtype)
    probabilities = logits.softmax(1) * counted
    over = [axis for axis in range(logits.ndim) if axis != 1]
    overlap, size = (probabilities * truth).sum(over), truth.sum(over)
    tiny = torch.finfo(logits.dtype).tiny
    score = (2 * overlap + smooth) / (probabilities.sum(over) + size + smooth).clamp_min(tiny)
    weights = (size > 0).to(logits.dtype) * (1 if class_weights is None else class_weights)
    return ((1 - score) * weights).sum() / weights.sum().clamp_min(tiny)
