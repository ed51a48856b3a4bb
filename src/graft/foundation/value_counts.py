"""How often each of 256 values occurs: masks and channels of images, counted in one place."""

from __future__ import annotations

import numpy as np
from PIL import Image


def value_counts(values: np.ndarray) -> np.ndarray:
    """Counts of the values 0 to 255 of uint8 [H, W], int64 [256].

    Exact at any size, and on masks more than twice as fast as `numpy.bincount`, which first copies to 64 bits, or as
    `cv2.calcHist`, which counts in float32.
    """
    return np.array(Image.fromarray(values).histogram(), np.int64)
