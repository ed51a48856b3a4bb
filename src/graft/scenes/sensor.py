"""The camera's own part in a picture: exposure, colour, vignette, blur, noise."""

from __future__ import annotations

from functools import cache
from typing import cast

import cv2
import numpy as np

from graft.scenes.canvas import scale_image
from graft.scenes.lighting import Lighting


def expose(image: np.ndarray, lighting: Lighting, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, white balance, vignette, blur and noise; uint8 [H, W, 3]."""
    height, width = image.shape[:2]
    gain = np.exp(rng.normal(0.22 if lighting.light == "day" else 0.12, 0.17))
    if lighting.light == "day" and lighting.weather == "clear" and rng.random() < 0.15:
        gain *= rng.uniform(0.4, 0.7)
    gain *= 0.82 if lighting.weather == "snow" else 1.0
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    vignette = np.float32(gain) * (1 - np.float32(rng.uniform(0.02, 0.14)) * (across + down))
    colour_strength = rng.uniform(0.45, 1.0) if lighting.light == "day" else rng.uniform(0.6, 1.0)
    mix = np.eye(3) * colour_strength + np.array((0.3, 0.59, 0.11)) * (1 - colour_strength)
    image = cast(np.ndarray, cv2.transform(scale_image(image, vignette), mix * lighting.tint[:, None]))
    sigma = rng.uniform(0.0, 0.75) * width / 256
    if sigma > 0.3:
        reach = 2 * max(1, width // 256) + 1
        image = cast(np.ndarray, cv2.GaussianBlur(image, (reach, reach), sigma))
    contrast, pivot = rng.uniform(0.92, 1.22), 105.0 if lighting.light == "day" else 45.0
    image *= np.float32(contrast)
    image += np.float32(pivot * (1 - contrast) + rng.normal(0, 4))
    grain = rng.uniform(0.4, 3) * (1.0 if not lighting.night else 2.5)
    noise = _noise_field(rng, height, width)
    image += noise * np.float32(grain)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def _noise_field(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sensor noise, float32 [H, W, 3]: one brightness field plus a little colour."""
    left, top = rng.integers(0, 64, 2)
    return _grain(height + 64, width + 64)[top : top + height, left : left + width]


@cache
def _grain(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng([11, height, width])
    grey = rng.standard_normal((height, width, 1), dtype=np.float32)
    colour = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), dtype=np.float32)
    return grey + np.float32(0.5) * cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
