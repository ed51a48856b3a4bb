"""Rare classes more often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from graft.training.sampling.presence import samples_by_class


def rare_class(
    class_counts: np.ndarray,
    *,
    temperature: Annotated[float, Field(gt=0)] = 0.01,
    min_pixels: Annotated[int, Field(ge=1)] = 1,
) -> Callable[[np.random.Generator], np.ndarray]:
    """Images with rare classes more often: a class is drawn first, the rarer the likelier, then an image that holds it.

    `P(c) = exp((1 - f_c) / T) / sum_k exp((1 - f_k) / T)` with f_c the share of class c in the labelled training
    pixels. Helps where small classes (poles, riders, defects) are learned late or never; images without any of them
    come seldom, so give it more epochs or a higher temperature where frequent classes suffer. Classes that no image
    holds are left out. Hoyer 2022, "DAFormer: Improving Network Architectures and Training Strategies for
    Domain-Adaptive Semantic Segmentation", equations 4 and 5; the temperature is the paper's. Its code asks for 3000
    pixels of the class in masks of 1914 x 1052; here one is enough unless you say more, for images come in all sizes.

    Args:
        class_counts: int64 [N, K].
        temperature: T: small draws almost only the rarest classes, large draws all classes as often.
        min_pixels: An image counts for a class if it holds at least so many pixels of it (after the resize rule);
            where none does, those count that hold any.

    Raises:
        GraftError: No sample holds any class.
    """
    members = samples_by_class(class_counts, min_pixels)
    chances = class_chances(class_counts.sum(axis=0)[list(members)], temperature)
    samples, num_samples = list(members.values()), len(class_counts)

    def order(generator: np.random.Generator) -> np.ndarray:
        classes = generator.choice(len(samples), size=num_samples, p=chances)
        lengths = np.array([len(numbers) for numbers in samples])[classes]
        places = generator.integers(0, lengths)
        return np.array([samples[k][place] for k, place in zip(classes, places, strict=True)], np.int64)

    return order


def class_chances(class_pixels: np.ndarray, temperature: float) -> np.ndarray:
    """P(c) of equation 5, float64 [K], for pixels of each class, int64 [K] (not all zero)."""
    shares = class_pixels / class_pixels.sum()
    exponents = (shares.min() - shares) / temperature  # the same softmax, with the largest exponent at 0
    chances = np.exp(exponents)
    return chances / chances.sum()
