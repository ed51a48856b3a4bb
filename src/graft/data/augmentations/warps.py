"""Warps of the whole image by a matrix, put off until it is known which part of them a view shows.

Importing this module imports albumentations (4 s): only the functions that build policies do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import albumentations
import cv2
import numpy as np

# OpenCV computes a row in steps of some pixels, and what is left over with another rounding: a row cut at a multiple of
# this has the bits of the whole row.
COLUMNS_A_STEP = 64
# What a pixel may read beyond the place that it maps to: its right and lower neighbour, and the place's own rounding.
MARGIN_PX = 3


class Warp(Protocol):
    """A transform by a matrix.

    Attributes:
        put_off: Whether it only draws its matrix, and the crop behind it applies it to what the view shows.
        params: Parameters drawn last; empty where the view is left as it is.
    """

    put_off: bool
    params: dict[str, Any]

    def matrix(self) -> np.ndarray: ...

    def warp(self, source: np.ndarray, rows: int, columns: int, *, is_mask: bool) -> np.ndarray: ...


class Deferrable(albumentations.DualTransform):
    """A transform that can be put off: it draws all the same, and leaves the image as it is."""

    put_off = False

    def apply(self, img: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        return img if self.put_off else super().apply(img, *args, **params)

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        return mask if self.put_off else super().apply_to_mask(mask, *args, **params)


class Affine(Deferrable, albumentations.Affine):
    """The library's transform, which can be put off."""

    def matrix(self) -> np.ndarray:
        """The map of places in the image to those in the warped one, [3, 3]."""
        return self.params["matrix"]

    def warp(self, source: np.ndarray, rows: int, columns: int, *, is_mask: bool) -> np.ndarray:
        """The first rows and columns of the warped image; what changes nothing is left out, as in the library."""
        if np.allclose(self.matrix(), np.eye(3)):
            return source[:rows, :columns]
        return cv2.warpAffine(source, self.matrix()[:2], (columns, rows), **_options(self, is_mask))


class Perspective(Deferrable, albumentations.Perspective):
    """The library's transform, which can be put off."""

    def matrix(self) -> np.ndarray:
        """The map of places in the image to those in the warped one, stretched to the same size, [3, 3]."""
        height, width = self.params["shape"][:2]
        stretch = np.diag([width / self.params["max_width"], height / self.params["max_height"], 1.0])
        return stretch @ self.params["matrix"]

    def warp(self, source: np.ndarray, rows: int, columns: int, *, is_mask: bool) -> np.ndarray:
        """The first rows and columns of the warped image."""
        return cv2.warpPerspective(source, self.matrix(), (columns, rows), **_options(self, is_mask))


def warped(array: np.ndarray, warps: Sequence[Warp], rows: int, columns: int, *, is_mask: bool) -> np.ndarray:
    """The first rows and columns of an image after some warps: the bits that warping all of it would give.

    A large image is so warped in a part of the time: a window of it needs what lies above and to the left of its end,
    a quarter of the image on average. No other part will do: OpenCV's rounding depends on where a row begins.

    Args:
        array: Image uint8 [H, W, C] or [H, W], or mask uint8 [H, W].
        warps: Warps that have drawn, in order; those not applied change nothing.
        rows: Number of rows to make, at most H.
        columns: Number of columns to make, at most W.
        is_mask: Whether the nearest pixel is taken, as class ids want it.
    """
    applied = [warp for warp in warps if warp.params]
    if not applied:
        return array[:rows, :columns]
    *before, last = applied
    height, width = array.shape[:2]
    source = warped(array, before, *_needed(last.matrix(), rows, columns, height, width), is_mask=is_mask)
    whole_steps = min(-(-columns // COLUMNS_A_STEP) * COLUMNS_A_STEP, width)
    return last.warp(source, rows, whole_steps, is_mask=is_mask)[:rows, :columns]


def _needed(matrix: np.ndarray, rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """How many rows and columns of the image the first `rows` and `columns` of the warped one are made from."""
    corners = np.array([[x, y, 1.0] for x in (0, columns - 1) for y in (0, rows - 1)]).T
    x, y, depth = np.linalg.inv(matrix) @ corners
    if depth.min() <= 0:  # beyond the horizon
        return height, width
    bottom, right = (math.ceil(float((values / depth).max())) + MARGIN_PX for values in (y, x))
    return min(max(bottom, 1), height), min(max(right, 1), width)


def _options(transform: Any, is_mask: bool) -> dict[str, Any]:
    return {
        "flags": transform.mask_interpolation if is_mask else transform.interpolation,
        "borderMode": transform.border_mode,
        "borderValue": transform.fill_mask if is_mask else transform.fill,
    }
