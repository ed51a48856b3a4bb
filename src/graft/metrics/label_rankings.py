"""Scores of images with several labels: average precision, from how a model ranks the images for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graft.metrics.confusion import Marginals, mean_of_defined


def average_precision(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the steps of precision over recall: AP = sum_n (R_n - R_{n-1}) P_n, n over falling probabilities.

    Images of equal probability make one step, and nothing is interpolated, as in scikit-learn's
    `average_precision_score`. Zhu 2004, "Recall, Precision and Average Precision", equation 2.

    Args:
        probabilities: [N, K], of each class for each image; any numbers that rank them.
        truth: [N, K], one where the image has the class, else zero.
        weights: [S, N], how often each image counts, for S draws; None counts each once.

    Returns:
        float64 [S, K], or [K] without weights; NaN for a class that no image has.
    """
    times = np.ones((1, len(truth))) if weights is None else weights
    found = np.stack([_of_class(probabilities[:, k], truth[:, k], times) for k in range(truth.shape[1])], axis=-1)
    return found[0] if weights is None else found


def _of_class(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of one class for S weightings, [S]."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last image of each probability
    weighted = weights[:, order].astype(np.float64)
    hits = (weighted * truth[order]).cumsum(axis=1)[:, ends]
    taken = weighted.cumsum(axis=1)[:, ends]
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    area = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
    return np.divide(area, hits[:, -1], out=np.full(len(hits), np.nan), where=hits[:, -1] > 0)


@dataclass(frozen=True)
class LabelMarginals(Marginals):
    """Marginals of N images, arrays [N, K], or of one, [K], and what its ranking needs.

    Of an image `truth`, `predicted` and `hits` are zero or one for each class, so that their sums over images give
    precision, recall and F1 of the classes.

    Attributes:
        probabilities: Probability of each class, [N, K].
    """

    probabilities: np.ndarray

    @classmethod
    def of_image(cls, probabilities: np.ndarray, decided: np.ndarray, labels: np.ndarray) -> LabelMarginals:
        """The marginals of one image: probabilities, what they were decided to be, and its labels, [K] each."""
        truth, predicted = labels.astype(np.int64), decided.astype(np.int64)
        return cls(truth * predicted, truth, predicted, probabilities)


@dataclass(frozen=True)
class RankedMarginals(Marginals):
    """Marginals of one or several splits as wholes, arrays [..., K], with the average precision of their images.

    Attributes:
        average_precision: Average precision of each class, [..., K]; NaN for one that no image has.
        num_images: Number of images of a split.
    """

    average_precision: np.ndarray
    num_images: int

    @property
    def mean_average_precision(self) -> np.ndarray:
        """Mean of `average_precision` over the classes that an image has [...]; NaN where there are none."""
        return mean_of_defined(self.average_precision)

    @property
    def true_share(self) -> np.ndarray:
        """Share of the images that have each class [..., K]."""
        return self.truth / self.num_images

    @property
    def predicted_share(self) -> np.ndarray:
        """Share of the images that are predicted to have each class [..., K]."""
        return self.predicted / self.num_images
