"""Probabilities smoothed over time, so that classes do not flicker from frame to frame."""

from __future__ import annotations

import numpy as np


class Smoothing:
    """An exponential moving average of class probabilities: P_t = w · P_{t−1} + (1 − w) · softmax(logits_t), P_0 plain.

    Holds one array of the size of the logits. What moves leaves a trail of about 1 / (1 − w) frames.

    Args:
        weight: Weight w of the past, 0 to below 1; 0 changes nothing.
    """

    def __init__(self, weight: float) -> None:
        self._weight = np.float32(weight)
        self._mean: np.ndarray | None = None

    def add(self, logits: np.ndarray) -> np.ndarray:
        """Returns the smoothed probabilities, float32 [K, …] as the logits; they change with the next call."""
        powers = np.exp(logits - logits.max(axis=0), dtype=np.float32)
        powers /= powers.sum(axis=0)
        if self._mean is None or self._mean.shape != powers.shape:
            self._mean = powers
        else:
            self._mean *= self._weight
            powers *= 1 - self._weight
            self._mean += powers
        return self._mean
