"""Half of the classes of another image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from graft.training.mixing.partners import class_pixels, partner_shift, paste_classes


def classmix(
    *, probability: Annotated[float, Field(gt=0, le=1)] = 0.5
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """Half of the classes of another image of the batch are cut out along their borders and laid over each image.

    Helps with few labelled images: objects appear before backgrounds they never had, and borders stay real ones. Of a
    partner's n classes ceil(n / 2) are drawn; ignored pixels are no class and are never pasted, but may be covered.
    Olsson 2021, "ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised Learning", section 3.1, algorithm
    1, here with true masks in place of predicted ones; half of the batches stay as they are, so that whole scenes are
    still seen.

    Args:
        probability: Probability that a batch is mixed at all.
    """

    def mix(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(seed)
        shift = partner_shift(len(images), generator)
        if generator.random() >= probability or not shift:
            return images, targets
        present = np.roll(class_pixels(targets) > 0, shift, 0)
        return paste_classes(images, targets, half_of_classes(present, generator), shift)

    return mix


def half_of_classes(present: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Half of the classes that are in each image, drawn at random, or one more: of n classes ceil(n / 2).

    Args:
        present: bool [B, 255], whether a class is in an image.
        generator: Source of randomness.
    """
    chosen = np.zeros_like(present)
    for row, classes in zip(chosen, map(np.flatnonzero, present), strict=True):
        row[generator.permutation(classes)[: -(-len(classes) // 2)]] = True
    return chosen
