"""Pictures of trees, drawn once per process."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

NUM_TREES = 10


def _leafy(rng: np.random.Generator, size_px: int, evergreen: bool) -> np.ndarray:
    """A leafy crown on a trunk, uint8 [h, w, 4]."""
    picture = np.zeros((size_px, size_px, 4), np.uint8)
    bark = tuple(rng.uniform(40, 80) * np.array((1.0, 0.9, 0.75)))
    half = size_px // 2
    cv2.line(picture, (half, size_px), (half, size_px // 2), (*bark, 255), max(3, size_px // 22))
    base = np.array(((62, 92, 38), (84, 104, 42), (48, 74, 40), (112, 108, 46), (120, 84, 40))[rng.integers(5)], float)
    base = np.array((34, 56, 38), float) if evergreen else base
    spread = rng.uniform(0.36, 0.46)
    for i in range(900):
        angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        if evergreen:
            v = rng.uniform(0.04, 0.94)
            u = 0.5 + rng.uniform(-1, 1) * 0.38 * v
        else:
            lobe = spread * (0.78 + 0.22 * np.sin(5 * angle + base[0]))
            u, v = 0.5 + lobe * radius * np.cos(angle), 0.4 + 0.36 * radius * np.sin(angle)
        lightness = 0.55 + 0.5 * (i / 900) + 0.35 * (0.45 - v) + rng.normal(0, 0.12)
        colour = np.clip(base * lightness * rng.uniform(0.85, 1.15, 3), 4, 255)
        axes = (int(size_px * rng.uniform(0.012, 0.034)), int(size_px * rng.uniform(0.01, 0.026)))
        cv2.ellipse(
            picture, (int(u * size_px), int(v * size_px)), axes, rng.uniform(0, 180), 0, 360, (*colour, 255), -1
        )
    return picture


def _branch(
    picture: np.ndarray,
    rng: np.random.Generator,
    at: np.ndarray,
    angle: float,
    length: float,
    width: float,
    bark: np.ndarray,
) -> None:
    end = at + length * np.array((np.cos(angle), -np.sin(angle)))
    colour = tuple(np.clip(bark * rng.uniform(0.8, 1.2), 0, 255))
    cv2.line(picture, tuple(int(c) for c in at), tuple(int(c) for c in end), (*colour, 255), max(1, round(width)))
    if length < picture.shape[0] * 0.03:
        return
    for _ in range(3 if width < 6 else 2):
        _branch(picture, rng, end, angle + rng.normal(0, 0.5), length * rng.uniform(0.62, 0.86), width * 0.62, bark)


@cache
def tree(index: int) -> np.ndarray:
    """A tree, uint8 [h, w, 4], alpha 255 where opaque and 1 in the gaps of its crown; even ones are bare."""
    rng = np.random.default_rng([43, index])
    size = 288
    if index % 2 == 0:
        picture = np.zeros((size, size, 4), np.uint8)
        bark = rng.uniform(48, 84) * np.array((1.0, 0.92, 0.8))
        _branch(picture, rng, np.array((size / 2, size)), np.pi / 2 + rng.normal(0, 0.06), size * 0.2, 10, bark)
        gap = 9
    else:
        picture, gap = _leafy(rng, size, evergreen=index == 5), 5
    blob = cv2.morphologyEx(picture[:, :, 3], cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap)))
    picture[:, :, 3] = np.where(picture[:, :, 3] > 0, 255, (blob > 0).astype(np.uint8))
    return picture
