"""Transforms that albumentations lacks, or has only slower: a crop that looks at classes, a bend, haze, sharpness.

Importing this module imports albumentations (4 s): only the functions that build policies do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from albumentations import BasicTransform, DualTransform, ImageOnlyTransform
from pydantic import Field

from graft.data.augmentations.warps import Warp, warped
from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.value_counts import value_counts

# Beyond the image a view shows the mean colour of photographs (ImageNet's): it becomes zero when normalised.
PADDING_RGB = (124, 116, 104)
MAX_DRAWS = 10
Window = tuple[int, int, int, int]  # top and left, which may lie outside the image; height, width


class ScaledCrop(DualTransform):
    """A window of random scale and place, resized to the crop; redrawn while one class fills too much of it.

    The scale is log-uniform in [`min_scale`, `max_scale`]: 2 shows things twice as large as in the image. Where the
    window reaches beyond the image it is padded: image with the mean colour of photographs, mask with 255. As in
    mmsegmentation's RandomCrop (`cat_max_ratio`), a window of which one class fills more than `max_class_fraction`
    of the labelled pixels is drawn again, 10 times at most; without a mask the first window counts. Where the image
    holds any of `rare_classes`, one of these is drawn, and a window that shows fewer than `rare_class_pixels` of it is
    drawn again too; the tenth time the one that shows most of it counts.

    Attributes:
        warps: Warps right before it that are put off: it applies them, to the part of the image that the view needs.
    """

    class InitSchema(BasicTransform.InitSchema):
        height: int = Field(ge=1)
        width: int = Field(ge=1)
        min_scale: float = Field(gt=0)
        max_scale: float = Field(gt=0)
        max_class_fraction: float = Field(gt=0, le=1)
        rare_class_pixels: int = Field(ge=0)
        rare_classes: tuple[int, ...]

    def __init__(
        self,
        height: int,
        width: int,
        min_scale: float,
        max_scale: float,
        max_class_fraction: float,
        rare_class_pixels: int,
        rare_classes: tuple[int, ...],
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.height, self.width = height, width
        self.min_scale, self.max_scale = min_scale, max_scale
        self.max_class_fraction = max_class_fraction
        self.rare_class_pixels, self.rare_classes = rare_class_pixels, rare_classes
        self.warps: Sequence[Warp] = ()

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        mask, size = data.get("mask"), params["shape"][:2]
        if mask is None:
            return {"window": self._draw(*size)}
        sought = self._sought(warped(mask, self.warps, *size, is_mask=True)) if self.rare_classes else None
        best, most = (0, 0, *size), -1.0
        for _ in range(MAX_DRAWS):
            window = self._draw(*size)
            counts = value_counts(self._visible(mask, window, is_mask=True))[:IGNORE_INDEX]
            varied = counts.max() <= self.max_class_fraction * counts.sum()
            shown = 0.0 if sought is None else counts[sought] * self.height * self.width / (window[2] * window[3])
            if varied and (sought is None or shown >= self.rare_class_pixels):
                return {"window": window}
            best, most = (window, shown) if shown >= most else (best, most)
        return {"window": best}

    def _sought(self, mask: np.ndarray) -> int | None:
        counts = value_counts(mask)
        held = [k for k in self.rare_classes if counts[k]]
        return self.py_random.choice(held) if held else None

    def _draw(self, height: int, width: int) -> Window:
        scale = math.exp(self.py_random.uniform(math.log(self.min_scale), math.log(self.max_scale)))
        window_height, window_width = max(1, round(self.height / scale)), max(1, round(self.width / scale))
        top = self.py_random.randint(*sorted((0, height - window_height)))
        left = self.py_random.randint(*sorted((0, width - window_width)))
        return top, left, window_height, window_width

    def apply(self, img: np.ndarray, window: Window, **params: Any) -> np.ndarray:
        larger = window[2] > self.height  # than the crop: the window shrinks
        interpolation = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
        return self._resized(_padded(self._visible(img, window), window, PADDING_RGB), interpolation)

    def apply_to_mask(self, mask: np.ndarray, window: Window, **params: Any) -> np.ndarray:
        inside = self._visible(mask, window, is_mask=True)
        return self._resized(_padded(inside, window, IGNORE_INDEX), cv2.INTER_NEAREST_EXACT)

    def _visible(self, array: np.ndarray, window: Window, *, is_mask: bool = False) -> np.ndarray:
        rows, columns = _end(window, *array.shape[:2])
        return warped(array, self.warps, rows, columns, is_mask=is_mask)[max(window[0], 0) :, max(window[1], 0) :]

    def _resized(self, window: np.ndarray, interpolation: int) -> np.ndarray:
        same = window.shape[:2] == (self.height, self.width)
        return window.copy() if same else cv2.resize(window, (self.width, self.height), interpolation=interpolation)


class Elastic(DualTransform):
    """A smooth bend: normal shifts on a coarse grid over the image, bicubic between its points.

    Args:
        displacement_fraction: Standard deviation of the shifts, in fractions of the shorter side.
        grid: Points along each side.
    """

    class InitSchema(BasicTransform.InitSchema):
        displacement_fraction: float = Field(gt=0)
        grid: int = Field(ge=2)

    def __init__(self, displacement_fraction: float, grid: int, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.displacement_fraction, self.grid = displacement_fraction, grid

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        deviation = self.displacement_fraction * min(height, width)
        shifts = self.random_generator.normal(0.0, deviation, (self.grid, self.grid, 2)).astype(np.float32)
        places = cv2.resize(shifts, (width, height), interpolation=cv2.INTER_CUBIC)
        places[..., 0] += np.arange(width, dtype=np.float32)
        places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        return {"places": places}

    def apply(self, img: np.ndarray, places: np.ndarray, **params: Any) -> np.ndarray:
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": PADDING_RGB}
        return cv2.remap(img, places, None, cv2.INTER_LINEAR, **border)  # type: ignore[call-overload]  # None will do

    def apply_to_mask(self, mask: np.ndarray, places: np.ndarray, **params: Any) -> np.ndarray:
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": IGNORE_INDEX}
        return cv2.remap(mask, places, None, cv2.INTER_NEAREST, **border)  # type: ignore[call-overload]  # None will do


class Sharpness(ImageOnlyTransform):
    """The image moved away from (factor above 1) or towards (below 1) a smoothed one, as Pillow's enhancer does.

    `smooth + factor * (image - smooth)`, smooth by the kernel of ones with 5 in the middle, over 13.
    """

    class InitSchema(BasicTransform.InitSchema):
        factor: float = Field(ge=0)

    def __init__(self, factor: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.factor = factor

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        kernel = np.ones((3, 3), np.float32)
        kernel[1, 1] = 5.0
        smooth = cv2.filter2D(img, -1, kernel / 13)
        return cv2.addWeighted(img, self.factor, smooth, 1 - self.factor, 0)


class Haze(ImageOnlyTransform):
    """A veil of one light grey over the image, of a strength that changes linearly from top to bottom.

    `image * (1 - a) + grey * a` with a from one draw in [0, `max_strength`] at the top to another at the bottom.
    """

    class InitSchema(BasicTransform.InitSchema):
        max_strength: float = Field(gt=0, le=1)

    def __init__(self, max_strength: float, p: float = 0.1) -> None:
        super().__init__(p=p)
        self.max_strength = max_strength

    def get_params(self) -> dict[str, Any]:
        top, bottom = (self.py_random.uniform(0.0, self.max_strength) for _ in range(2))
        return {"top": top, "bottom": bottom, "grey": self.py_random.uniform(110.0, 245.0)}

    def apply(self, img: np.ndarray, top: float, bottom: float, grey: float, **params: Any) -> np.ndarray:
        veil = np.linspace(top, bottom, img.shape[0], dtype=np.float32)[:, None, None]
        return (img * (1.0 - veil) + (veil * grey + 0.5)).astype(np.uint8)


def _end(window: Window, height: int, width: int) -> tuple[int, int]:
    """The row and the column of the image behind the last that the window shows."""
    top, left, window_height, window_width = window
    return min(max(top + window_height, 0), height), min(max(left + window_width, 0), width)


def _padded(inside: np.ndarray, window: Window, fill: int | tuple[int, int, int]) -> np.ndarray:
    """The part of the image that the window shows, with a frame of `fill` where it reaches beyond."""
    top, left, height, width = window
    above, before = max(-top, 0), max(-left, 0)
    below, after = height - above - inside.shape[0], width - before - inside.shape[1]
    if not (above or below or before or after):
        return inside
    return cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_CONSTANT, value=fill)
