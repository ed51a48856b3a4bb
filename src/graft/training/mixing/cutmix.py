"""A box of another image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.mixing.partners import partner_shift


def cutmix(
    *,
    alpha: Annotated[float, Field(gt=0)] = 1.0,
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor | MixedTargets]]:
    """A box of each image shows another image of the batch; masks are cut alike, labels are mixed by area.

    Helps against overfitting on few labels, and makes a model look at all of an object and not only at its most
    telling part. The box has the image's aspect and covers `1 - share` of it, share ~ Beta(alpha, alpha), at a random
    place; what reaches beyond the image is left out, and the share of labels is that of the pixels that remain. One box
    for the whole batch. Ignored pixels inside the box are pasted too. Yun 2019, "CutMix: Regularization Strategy to
    Train Strong Classifiers with Localizable Features", equations 1 and 2; defaults are those of its ImageNet runs.

    Args:
        alpha: Parameter of the Beta distribution of the share that stays; 1 draws all shares equally often.
        probability: Probability that a batch is mixed at all.
    """

    def mix(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor | MixedTargets]:
        generator = np.random.default_rng(seed)
        shift = partner_shift(len(images), generator)
        if generator.random() >= probability or not shift:
            return images, targets
        height, width = images.shape[2:]
        top, bottom, left, right = box(height, width, generator.beta(alpha, alpha), generator)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images.roll(shift, 0)[..., top:bottom, left:right]
        if targets.ndim == 1:
            share = 1 - (bottom - top) * (right - left) / math.prod(images.shape[2:])
            return mixed, MixedTargets(targets, targets.roll(shift, 0), share)
        masks = targets.clone()
        masks[:, top:bottom, left:right] = targets.roll(shift, 0)[:, top:bottom, left:right]
        return mixed, masks

    return mix


def box(height: int, width: int, share: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a box that covers `1 - share` of an image, or less where it reaches beyond."""
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    y, x = int(generator.integers(height)), int(generator.integers(width))
    return max(y - half_height, 0), min(y + half_height, height), max(x - half_width, 0), min(x + half_width, width)
