"""Where a model contradicts labels with confidence, and with how much evidence.

Confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels");
each pixel of a mask is a label, and an image with one label a mask of one pixel.

Where there is no label stands `ignored_target` of K classes: 255, or -1 where 255 is a class of images.

Legend of shape suffixes: K classes, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from graft.foundation.class_map import ignored_target

LEAST = 1e-3  # probability that counts for any smaller one, so that no single pixel decides
LEAST_BELIEVED = 0.05  # share of the pixels that speak for an image


@dataclass(frozen=True, slots=True)  # there may be many
class Contradiction:
    """Connected pixels of one label that a model takes for another class.

    Attributes:
        given: Class that the label says.
        suggested: Class that the model says.
        left: Column of the leftmost pixel.
        top: Row of the topmost pixel.
        width: Number of columns.
        height: Number of rows.
        num_pixels: Number of pixels.
        evidence: Sum over the pixels of log(p / q), p the probability of the suggested class and q of the given one.
    """

    given: int
    suggested: int
    left: int
    top: int
    width: int
    height: int
    num_pixels: int
    evidence: float


class SelfConfidence:
    """The mean probability that a model gives to a class where the label says that class (equation 2).

    A model that is unsure of a class contradicts a label in favour of it with less than one that knows it well.
    """

    def __init__(self, num_classes: int) -> None:
        self._sums = np.zeros(num_classes)
        self._counts = np.zeros(num_classes, np.int64)

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Counts an image: probabilities float32 [K, H, W], labels as integers [H, W]."""
        known = labels != ignored_target(len(self._sums))
        own, num_classes = labels[known], len(self._sums)
        given = np.take_along_axis(probabilities, np.where(known, labels, 0)[None].astype(np.intp), axis=0)[0][known]
        self._sums += np.bincount(own, given, minlength=num_classes)
        self._counts += np.bincount(own, minlength=num_classes)

    def thresholds(self) -> np.ndarray:
        """The mean of each class, float64 [K]; more than any probability where no label says it."""
        return np.where(self._counts > 0, self._sums / np.maximum(self._counts, 1), np.inf)


def contradict(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The class that each contradicted pixel should have, int64 [H, W]; the ignored target where the label may stand.

    A pixel is contradicted where, of the classes whose probability reaches their threshold, the most likely is not that
    of the label (the off-diagonal of the confident joint, equation 1).

    Args:
        probabilities: float32 [K, H, W].
        labels: Integers [H, W].
        thresholds: float64 [K].
    """
    confident = np.where(probabilities >= thresholds[:, None, None], probabilities, -1)
    best = confident.argmax(axis=0)
    is_sure, ignored = confident.max(axis=0) >= 0, ignored_target(len(probabilities))
    return np.where(is_sure & (labels != ignored) & (best != labels), best, ignored)


def regions_of(probabilities: np.ndarray, labels: np.ndarray, suggested: np.ndarray) -> Iterator[Contradiction]:
    """Yields the connected regions (of eight neighbours) of contradicted pixels, each of one label and one suggestion.

    Args:
        probabilities: float32 [K, H, W].
        labels: Integers [H, W].
        suggested: As `contradict` gives it.
    """
    found = suggested != ignored_target(len(probabilities))
    for given, other in np.unique(np.stack([labels[found], suggested[found]]), axis=1).T.tolist():
        pixels = (labels == given) & (suggested == other)
        log_odds = np.log(np.maximum(probabilities[other], LEAST) / np.maximum(probabilities[given], LEAST))
        number, parts, boxes, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
        evidence = np.bincount(parts.ravel(), np.where(pixels, log_odds, 0).ravel(), minlength=number)
        for part in range(1, number):
            left, top, width, height, num_pixels = boxes[part].tolist()
            yield Contradiction(given, other, left, top, width, height, num_pixels, float(evidence[part]))


def disbelief(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """How little a model believes a mask: the mean of -log p(label) over the twentieth of its pixels it believes least.

    The whole image says little, as nearly all pixels of a wrong mask are right; and so does a single pixel, as edges
    are always doubtful. Between a fiftieth and a twentieth the order of scenes with spoiled masks was the same.

    Args:
        probabilities: float32 [K, H, W].
        labels: Integers [H, W]; one pixel at least has one.
    """
    known = labels != ignored_target(len(probabilities))
    given = np.take_along_axis(probabilities, np.where(known, labels, 0)[None].astype(np.intp), axis=0)[0]
    surprise = -np.log(np.maximum(given[known], LEAST))
    num_least = math.ceil(len(surprise) * LEAST_BELIEVED)
    return float(np.partition(surprise, -num_least)[-num_least:].mean())
