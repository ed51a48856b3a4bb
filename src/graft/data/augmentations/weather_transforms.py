"""Rain and cast shadows, drawn with OpenCV over an image whose mask stays as it is.

Importing this module imports albumentations (4 s): only the functions that build policies do.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from albumentations import BasicTransform, ImageOnlyTransform
from pydantic import Field


class Rain(ImageOnlyTransform):
    """Streaks of one slant, the near ones long and few, the far ones short and many, over an image that turns dull.

    Args:
        strength: 1 draws about 440 streaks, four in five of them far.
    """

    class InitSchema(BasicTransform.InitSchema):
        strength: float = Field(gt=0)

    def __init__(self, strength: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.strength = strength

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        slant = self.py_random.uniform(-0.3, 0.3)
        dullness = self.py_random.uniform(0.1, 0.25) * min(self.strength, 1.5)
        layers = []
        for length, number, opacity in ((0.09, 90, 0.5), (0.04, 350, 0.35)):
            number = max(1, round(number * self.strength * self.py_random.uniform(0.6, 1.4)))
            starts = self.random_generator.uniform((-0.1, -0.1), (1.1, 1.0), (number, 2)) * (width, height)
            steps = length * height * self.random_generator.uniform(0.6, 1.4, (number, 1)) * (slant, 1.0)
            layers.append((np.stack([starts, starts + steps], axis=1).astype(np.float32), opacity))
        return {"layers": layers, "dullness": dullness}

    def apply(self, img: np.ndarray, layers: list[Any], dullness: float, **params: Any) -> np.ndarray:
        veil = np.zeros(img.shape[:2], np.float32)
        for segments, opacity in layers:
            drawn = np.zeros(img.shape[:2], np.uint8)
            cv2.polylines(drawn, list(np.round(segments * 16).astype(np.int32)), False, 255, 1, cv2.LINE_AA, 4)
            veil = np.maximum(veil, drawn * np.float32(opacity / 255))
        grey = cv2.cvtColor(cv2.cvtColor(cv2.blur(img, (9, 9)), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        dull = cv2.addWeighted(img, 1 - dullness, grey, 0.9 * dullness, 0.0)
        wet, light = veil > 0, 90.0 + 0.6 * float(grey.mean())  # streaks shine with the light there is
        dull[wet] = (dull[wet] + (light - dull[wet]) * veil[wet, None] + 0.5).astype(np.uint8)
        return dull


class Shadow(ImageOnlyTransform):
    """One polygon of the lower part of the image, darker and with soft edges, as a building or a tree casts it.

    Args:
        max_darkness: The share of light that the darkest shadow takes away; the lightest takes a third of that.
    """

    class InitSchema(BasicTransform.InitSchema):
        max_darkness: float = Field(gt=0, lt=1)

    def __init__(self, max_darkness: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.max_darkness = max_darkness

    def get_params(self) -> dict[str, Any]:
        draw = self.py_random.uniform
        center = np.array([draw(-0.1, 1.1), draw(0.6, 1.0)])
        radii, turn = np.array([draw(0.3, 0.8), draw(0.1, 0.3)]), draw(-0.4, 0.4)
        angles = np.sort(self.random_generator.uniform(0, 2 * math.pi, 6))
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        darkness = draw(self.max_darkness / 3, self.max_darkness)
        return {"corners": center + corners @ rotation, "darkness": darkness, "softness": draw(0.002, 0.012)}

    def apply(
        self, img: np.ndarray, corners: np.ndarray, darkness: float, softness: float, **params: Any
    ) -> np.ndarray:
        height, width = img.shape[:2]
        covered: np.ndarray = np.zeros((height, width), np.uint8)
        cv2.fillPoly(covered, [np.round(corners * (width, height)).astype(np.int32)], 255)
        covered = cv2.GaussianBlur(covered, (0, 0), max(softness * width, 0.8))
        light = np.rint(255 - covered * np.float32(darkness)).astype(np.uint8)
        return cv2.multiply(img, cv2.merge([light] * 3), scale=1 / 255)
