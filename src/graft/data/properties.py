"""Properties of a picture that do not depend on any model: light, contrast, colour, sharpness, size."""

from __future__ import annotations

import cv2
import numpy as np

LONGEST_SIDE_PX = 1024  # beyond it a picture is shrunk first, so that a camera with more pixels is no blurred one

# Name to its unit, and to the word for a picture that has less of it and for one that has more.
PROPERTIES = {
    "luminance": ("of 255", "darker", "brighter"),
    "contrast": ("of 255", "flatter", "richer in contrast"),
    "saturation": ("of 255", "paler", "more colourful"),
    "sharpness": ("", "more blurred", "sharper or noisier"),
    "megapixels": ("MP", "smaller", "larger"),
    "aspect_ratio": ("width / height", "narrower", "wider"),
}


def picture_properties(picture: np.ndarray) -> dict[str, float]:
    """The value of each of `PROPERTIES`.

    Luminance is the mean of the luma (ITU-R BT.601), contrast its standard deviation, saturation the mean of that of
    HSV, and sharpness the deviation of the Laplacian in units of the contrast, so that a dark picture is not a blurred
    one.

    Args:
        picture: uint8 [H, W, 3] RGB.
    """
    height, width = picture.shape[:2]
    shrink = LONGEST_SIDE_PX / max(height, width)
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    contrast = float(grey.std())
    edges = float(cv2.Laplacian(grey, cv2.CV_32F).std())
    return {
        "luminance": float(grey.mean()),
        "contrast": contrast,
        "saturation": float(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1].mean()),
        "sharpness": edges / max(contrast, 1.0),
        "megapixels": height * width / 1e6,
        "aspect_ratio": width / height,
    }
