"""Soft Dice of one foreground class."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from graft.foundation.class_map import IGNORE_INDEX
from graft.training.losses.foreground import foreground_logit


def binary_dice(
    logits: Tensor, targets: Tensor, class_weights: None, *, smooth: Annotated[float, Field(gt=0)] = 1.0
) -> Tensor:
    """One minus soft Dice of the foreground alone: 1 - (2 sum p*g + s) / (sum p + sum g + s).

    p is the probability of class 1, the foreground, g one where it is true, s `smooth`; the sums run over all pixels of
    the batch that are not ignored. `dice` averages foreground and background, of which the second is nearly always
    right; here only the foreground counts, and in a batch without any what is found all the same is punished. With one
    class there is nothing to weigh: `fine_tune.class_weights` must be `none`.

    Milletari et al. 2016, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
    equation 3, with the squares of the denominator left out.

    Args:
        logits: [B, 2] or [B, 2, H, W], float.
        targets: [B] or [B, H, W], long: 0, 1, or 255 where ignored.
        class_weights: None.
        smooth: Added to numerator and denominator, in pixels; a batch without foreground needs it.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.

    Raises:
        GraftError: There are not two classes.
    """
    counted = targets != IGNORE_INDEX
    probabilities = foreground_logit(logits, "binary_dice").sigmoid() * counted
    truth = (targets == 1).to(logits.dtype)
    return 1 - (2 * (probabilities * truth).sum() + smooth) / (probabilities.sum() + truth.sum() + smooth)
