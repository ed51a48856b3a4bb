"""Thresholds of the classes of images with several labels."""

from __future__ import annotations

import numpy as np

UNDECIDED = 0.5  # of a class that no image has, or every one: nothing can be chosen


def best_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """The threshold of each class from which on its F1 is largest, half-way to the next smaller probability.

    An image has a class whose probability is at least the threshold. Of equal F1 the largest threshold is taken. Lipton
    et al. 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure".

    Args:
        probabilities: [N, K], of each class for each image, in 0..1.
        truth: [N, K], one where the image has the class, else zero.

    Returns:
        K thresholds; 0.5 for a class that no image has, or all have.
    """
    return tuple(_best(probabilities[:, k].astype(np.float64), truth[:, k]) for k in range(truth.shape[1]))


def _best(probabilities: np.ndarray, truth: np.ndarray) -> float:
    num_positive = int(truth.sum())
    if num_positive in (0, len(truth)):
        return UNDECIDED
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], truth[order].cumsum()
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    f1 = 2 * hits[ends] / (ends + 1 + num_positive)
    best = int(f1.argmax())
    above = ranked[ends[best]]
    below = ranked[ends[best + 1]] if best + 1 < len(ends) else 0.0
    return float((above + below) / 2)
