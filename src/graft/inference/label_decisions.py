"""From the logits of images with several labels to probabilities, and to which labels an image has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def label_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probability of each class by the sigmoid, 1 / (1 + exp(-z)): [..., K] to float64 [..., K]."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def decide_labels(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """The classes whose probability reaches their threshold: [..., K] to uint8 [..., K] of ones and zeros."""
    return (probabilities >= np.asarray(thresholds)).astype(np.uint8)


def label_confidence(probabilities: np.ndarray, decided: np.ndarray) -> float:
    """Mean over the K classes of the probability of what was decided about each."""
    return float(np.where(decided, probabilities, 1 - probabilities).mean())
