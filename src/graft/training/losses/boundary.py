"""Cross-entropy that counts most where two classes meet."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graft.foundation.class_map import IGNORE_INDEX
from graft.training.losses.pixelwise import true_class_losses, weighted_mean

Positive = Annotated[float, Field(gt=0)]


def boundary(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    boundary_weight: Positive = 10.0,
    sigma_px: Positive = 5.0,
) -> Tensor:
    """Boundary-aware cross-entropy: its mean over pixels, each weighted by w = c + w0 * exp(-d^2 / (2 sigma^2)).

    d is the distance in pixels to the nearest pixel that has a neighbour (above, below, left or right) of another
    class, c the weight of the pixel's own class, w0 `boundary_weight`. It helps where outlines and thin things matter;
    masks drawn coarsely speak against it. For segmentation only. The distances are worked out on the CPU.

    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", equations 1 and 2
    (defaults of w0 and sigma: the paper's), with the distance to the nearest outline alone: classes have no two nearest
    cells. It is divided by the sum of w, which the paper does not do, so that it keeps the size of `cross_entropy`.

    Args:
        logits: [B, K, H, W], float.
        targets: [B, H, W], long, class ids, or 255 where ignored; where known and ignored pixels meet is no outline.
        class_weights: [K], the c of each class, or None for ones.
        boundary_weight: w0, what a pixel at an outline counts more than one far from any.
        sigma_px: How fast that falls with distance.

    Returns:
        A scalar. A batch in which everything is ignored gives zero with zero gradients.
    """
    masks = targets.cpu().numpy().astype(np.uint8)
    nearness = np.stack([_nearness(mask, sigma_px) for mask in masks])
    extra = boundary_weight * torch.from_numpy(nearness).to(logits.device, logits.dtype).reshape(-1)
    losses, flat = true_class_losses(logits, targets)
    counted = flat != IGNORE_INDEX
    own = 1 if class_weights is None else class_weights[flat.masked_fill(~counted, 0)]
    return weighted_mean(losses, flat, None, logits.shape[1], own + extra)


def _nearness(mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """exp(-d^2 / (2 sigma^2)) of a mask uint8 [H, W], float32 [H, W]: 1 at outlines, 0 where there is none."""
    outline = np.zeros(mask.shape, np.bool_)
    for first, second in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        one, other = mask[first], mask[second]
        differs = (one != other) & (one != IGNORE_INDEX) & (other != IGNORE_INDEX)
        outline[first] |= differs
        outline[second] |= differs
    if not outline.any():
        return np.zeros(mask.shape, np.float32)
    distance = cv2.distanceTransform((~outline).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.exp(-(distance**2) / (2 * sigma_px**2))
