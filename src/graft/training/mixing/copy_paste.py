"""Rare classes of another image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from graft.training.mixing.partners import class_pixels, partner_shift, paste_classes


def copy_paste(
    *,
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.05,
    probability: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """The rare classes of another image of the batch are cut out along their borders and laid over each image.

    Helps classes that few images hold: an image may show them besides its own. A class is rare that has at most
    `max_share` of the labelled pixels of the batch, so no list of classes is needed; each rare class of the partner is
    pasted with `probability`. Ignored pixels are never pasted, but may be covered. Ghiasi 2021, "Simple Copy-Paste is
    a Strong Data Augmentation Method for Instance Segmentation", section 3: random subsets of objects are pasted
    without blending their borders; here classes take the place of objects, since masks do not tell objects apart.

    Args:
        max_share: Largest share of a batch's labelled pixels of a class that is pasted; 1 pastes any class.
        probability: Probability that a rare class of a partner is pasted.
    """

    def mix(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(seed)
        shift = partner_shift(len(images), generator)
        if not shift:
            return images, targets
        pixels = class_pixels(targets)
        rare = pixels.sum(axis=0) <= max_share * pixels.sum()
        present = np.roll(pixels > 0, shift, 0)
        return paste_classes(images, targets, present & rare & (generator.random(present.shape) < probability), shift)

    return mix
