"""Dice in which what is missed may cost more than what is wrongly found."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graft.training.losses.overlap import mean_of_present, soft_counts

Share = Annotated[float, Field(ge=0, le=1)]


def tversky(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    alpha: Share = 0.3,
    beta: Share = 0.7,
    gamma: Annotated[float, Field(ge=1, le=3)] = 1.0,
    smooth: Annotated[float, Field(ge=0)] = 1.0,
) -> Tensor:
    """Tversky loss: (1 - T)^(1/gamma) averaged over present classes, T = (TP + s) / (TP + alpha FP + beta FN + s).

    TP = sum p*g, FP = sum p*(1-g), FN = sum (1-p)*g over all pixels of the batch that are not ignored, with p the
    softmax, g the one-hot target and s `smooth`. With beta above alpha a pixel missed costs more than one wrongly
    found, which raises the recall of small classes; alpha = beta = 0.5 is `dice`. A gamma above one is the focal
    Tversky loss, which keeps learning from classes that overlap little. A class no pixel of the batch has is left out.

    Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully convolutional deep networks",
    equation 2 (defaults of alpha and beta: its best); Abraham & Khan 2019, "A Novel Focal Tversky Loss Function with
    Improved Attention U-Net for Lesion Segmentation", equation 4 (there gamma = 4/3 is best).

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean over classes, or None for ones.
        alpha: Cost of a pixel wrongly found.
        beta: Cost of a pixel missed.
        gamma: 1 for the plain loss, up to 3 to favour classes that overlap little.
        smooth: Added to numerator and denominator, in pixels.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.
    """
    counts = soft_counts(logits, targets)
    wrong, missed = counts.predicted - counts.overlap, counts.truth - counts.overlap
    size = counts.overlap + alpha * wrong + beta * missed + smooth
    losses = 1 - (counts.overlap + smooth) / size.clamp_min(torch.finfo(logits.dtype).tiny)
    if gamma != 1:  # a root has no slope at zero, where there is nothing left to learn
        losses = losses.clamp_min(torch.finfo(logits.dtype).eps) ** (1 / gamma)
    return mean_of_present(losses, counts, class_weights)
