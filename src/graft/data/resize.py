"""Resize rules, from an image to the size a model works at: the same in training, evaluation, export and prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from graft.foundation.choices import Choice, resolve

SizePx = Annotated[int, Field(ge=16)]


def none(height: int, width: int) -> tuple[int, int]:
    """The size it has.

    Nothing is lost and nothing is made up: for images that are about as large as what the model was trained on. Larger
    ones than `predict.max_pixels` are tiled. There is nothing to set.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
    """
    return height, width


def short_side(height: int, width: int, *, size_px: SizePx) -> tuple[int, int]:
    """The shorter side becomes `size_px`, the longer keeps the aspect (rounded to whole pixels).

    Things come to about the size they had in pretraining, whatever the camera: the usual rule for photographs, 256 for
    crops of 224 (He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.4).

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        size_px: The shorter side afterwards.
    """
    scale = size_px / min(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def fit(height: int, width: int, *, size_px: SizePx) -> tuple[int, int]:
    """The longer side becomes `size_px`, the shorter keeps the aspect (rounded to whole pixels, at least one).

    No image is larger than the square of that side: for bounded memory and time, and for models that take one size
    only, which see the rest mirrored.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        size_px: The longer side afterwards.
    """
    scale = size_px / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


RESIZES: dict[str, Callable[..., tuple[int, int]]] = {"none": none, "short_side": short_side, "fit": fit}


def rule_of(resize: Mapping[str, Any]) -> Choice:
    """The rule that `{"name": …}` with its options names; checked once a process, for images ask one by one."""
    return _rule(tuple(sorted(resize.items())))


@lru_cache
def _rule(resize: tuple[tuple[str, Any], ...]) -> Choice:
    return resolve(RESIZES, dict(resize), where="preprocess.resize")


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Image uint8 [H, W, C] at `size` (height, width): areas averaged where it shrinks, bilinear where it grows."""
    if image.shape[:2] == tuple(size):
        return image
    if image.ndim == 3 and image.shape[2] not in (2, 3, 4):  # OpenCV drops an axis of one, and averages four at most
        planes = [np.ascontiguousarray(image[..., channel]) for channel in range(image.shape[2])]
        return np.stack([resize_image(plane, size) for plane in planes], axis=-1)
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask [H, W] at `size` (height, width) by nearest neighbour between pixel centres: no value is made up."""
    if mask.shape[:2] == tuple(size):
        return mask
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
