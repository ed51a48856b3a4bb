"""Calibration error: the gap between the confidence of a model and its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graft.foundation.class_map import IGNORE_INDEX

# 4,096 of an image's pixels, spread evenly: neighbours say the same, and all of them would double the time.
MAX_PIXELS_PER_IMAGE = 4096


@dataclass
class Calibration:
    """A streaming reliability histogram over equal bins of confidence (the largest probability).

    The expected calibration error is the sum over bins of n_b / n · |accuracy_b − confidence_b| (Guo et al. 2017,
    equation 3). The class-wise one bins the probability of each class, right or wrong, likely or not: the mean over
    classes of the sum over bins of n_bk / n · |share of class k in the bin − mean probability of k in it| (Nixon et al.
    2019, "Measuring Calibration in Deep Learning", equation 3, there "static calibration error"; Kull et al. 2019).

    Attributes:
        num_bins: Bins of equal width over 0…1, closed above, as in the paper.
    """

    num_bins: int
    counts: np.ndarray = field(init=False)
    hits: np.ndarray = field(init=False)
    confidences: np.ndarray = field(init=False)
    # What the probabilities of each class exceed its truth by, [K, bins]; K is known once something is counted.
    class_excess: np.ndarray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.counts, self.hits = np.zeros(self.num_bins, np.int64), np.zeros(self.num_bins, np.int64)
        self.confidences = np.zeros(self.num_bins)

    def add(self, logits: np.ndarray, targets: np.ndarray) -> None:
        """Counts predictions in.

        Args:
            logits: float [K, N].
            targets: Class ids [N]; 255 is ignored where there are no more than 255 classes.
        """
        if len(logits) <= IGNORE_INDEX:
            known = targets != IGNORE_INDEX
            logits, targets = logits[:, known], targets[known]
        if not targets.size:
            return
        likelihoods = np.exp(logits - logits.max(axis=0))
        confidence = 1 / likelihoods.sum(axis=0, dtype=np.float64)
        bins = self._bins_of(confidence)
        self.counts += np.bincount(bins, minlength=self.num_bins)
        self.hits += np.bincount(bins[logits.argmax(axis=0) == targets], minlength=self.num_bins)
        self.confidences += np.bincount(bins, confidence, minlength=self.num_bins)
        self._add_classes(likelihoods * confidence, targets)

    def _add_classes(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        """Counts probabilities [K, N] in, every class of every target [N]."""
        num_classes = len(probabilities)
        bins = self._bins_of(probabilities) + np.arange(num_classes)[:, None] * self.num_bins
        right = bins[targets, np.arange(targets.size)]
        shape = (num_classes, self.num_bins)
        excess = np.bincount(bins.ravel(), probabilities.ravel(), minlength=math.prod(shape))
        excess -= np.bincount(right, minlength=math.prod(shape))
        self.class_excess = excess.reshape(shape) + (0 if self.class_excess is None else self.class_excess)

    def _bins_of(self, probabilities: np.ndarray) -> np.ndarray:
        return np.clip(np.ceil(probabilities * self.num_bins).astype(np.int64) - 1, 0, self.num_bins - 1)

    @property
    def error(self) -> float | None:
        """The expected calibration error, 0…1; None before anything was counted."""
        num_counted = self.counts.sum()
        return float(np.abs(self.hits - self.confidences).sum() / num_counted) if num_counted else None

    @property
    def classwise_error(self) -> float | None:
        """The class-wise calibration error, 0…1; None before anything was counted."""
        if self.class_excess is None:
            return None
        return float(np.abs(self.class_excess).sum(axis=1).mean() / self.counts.sum())

    def bins(self) -> list[dict[str, Any]]:
        """The bins that hold anything: `confidence` and `accuracy` (means) and `count`."""
        return [
            {"confidence": float(confidence / count), "accuracy": float(hits / count), "count": int(count)}
            for count, hits, confidence in zip(self.counts, self.hits, self.confidences, strict=True)
            if count
        ]


def spread_pixels(logits: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MAX_PIXELS_PER_IMAGE` pixels, evenly spread over every row and column.

    Args:
        logits: float [K, H, W].
        mask: Class ids [H, W].

    Returns:
        Logits [K, N] and targets [N].
    """
    stride = max(1, math.ceil(mask.size / MAX_PIXELS_PER_IMAGE))
    while math.gcd(stride, mask.shape[1]) > 1:  # a common factor would leave columns out
        stride += 1
    rows, columns = np.divmod(np.arange(0, mask.size, stride), mask.shape[1])
    return logits[:, rows, columns], mask[rows, columns]
