"""Two samples of images: do they come from one source? Tests with a stated rate of false alarms.

Legend of shape suffixes: N images of the reference, M new images, D numbers of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp
from sklearn.metrics.pairwise import euclidean_distances

NUM_PERMUTED_AT_ONCE = 512  # deals of the labels held at a time
NUM_NEIGHBOURS = 5


@dataclass(frozen=True)
class LargestGap:
    """The value below which the shares of both samples differ most (Kolmogorov and Smirnov).

    Attributes:
        p_value: Chance of so large a gap between two samples of one source.
        value: The value.
        before: Share of the reference at or below it.
        now: Share of the new sample at or below it.
    """

    p_value: float
    value: float
    before: float
    now: float


def largest_gap(reference: np.ndarray, new: np.ndarray) -> LargestGap:
    """Compares two samples of one number each, [N] and [M]; equal numbers make the test cautious, never rash."""
    found = ks_2samp(new, reference, method="asymp" if len(new) * len(reference) > 10_000 else "exact")
    value = found.statistic_location
    return LargestGap(
        float(found.pvalue), float(value), float(np.mean(reference <= value)), float(np.mean(new <= value))
    )


def energy_test(reference: np.ndarray, new: np.ndarray, num_permutations: int, seed: int) -> float:
    """The p-value of the energy distance between two samples of points, [N, D] and [M, D], by permutation.

    `2 E|X - Y| - E|X - X'| - E|Y - Y'|` is zero for one source and positive for any two (Székely and Rizzo 2004,
    "Testing for equal distributions in high dimension"); it has no width to choose. The labels are dealt out anew to
    see how large it becomes by chance.
    """
    points = np.concatenate([reference, new]).astype(np.float32)
    distances = euclidean_distances(points)
    to_all, total = distances.sum(axis=1, dtype=np.float64), float(distances.sum(dtype=np.float64))
    num_reference, num_new = len(reference), len(new)
    generator = np.random.default_rng(seed)
    is_new = np.zeros(len(points), np.float32)
    is_new[num_reference:] = 1

    def statistics(labels: np.ndarray) -> np.ndarray:
        within_new = np.einsum("ij,ij->j", labels, distances @ labels, dtype=np.float64)
        of_new = to_all @ labels
        within_reference = total - 2 * of_new + within_new
        between = (of_new - within_new) / (num_reference * num_new)
        return 2 * between - within_new / num_new**2 - within_reference / num_reference**2

    observed, num_larger = statistics(is_new[:, None])[0], 0
    for first in range(0, num_permutations, NUM_PERMUTED_AT_ONCE):
        num_deals = min(NUM_PERMUTED_AT_ONCE, num_permutations - first)
        labels = generator.permuted(np.repeat(is_new[None], num_deals, axis=0), axis=1).T
        num_larger += int((statistics(labels) >= observed * (1 - 1e-9)).sum())
    return (1 + num_larger) / (1 + num_permutations)


def neighbour_distances(reference: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
    """The mean distance of points [M, D] to their nearest of the reference [N, D]; without points, of its own: [M].

    No image of the reference counts as its own neighbour.
    """
    distances = euclidean_distances(reference if points is None else points, reference)
    if points is None:
        np.fill_diagonal(distances, np.inf)
    nearest = min(NUM_NEIGHBOURS, len(reference) - (points is None))
    return np.partition(distances, nearest - 1, axis=1)[:, :nearest].mean(axis=1)


def holm(p_values: Sequence[float], false_alarms: float) -> list[bool]:
    """Says which tests fail: where nothing moved, any of them does with chance `false_alarms` at most (Holm 1979)."""
    failed = [False] * len(p_values)
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] > false_alarms / (len(p_values) - rank):
            break
        failed[place] = True
    return failed


def smallest_gap_seen(num_reference: int, num_new: int, level: float) -> float:
    """The gap between two shares from which on a test at this level fails, for samples of these sizes.

    `sqrt(-ln(level / 2) / 2 · (N + M) / (N M))`, the bound of Kolmogorov and Smirnov for large samples; above 1 no gap
    is large enough.
    """
    return math.sqrt(-math.log(level / 2) / 2 * (1 / num_reference + 1 / num_new))


def num_images_needed(num_reference: int, gap: float, level: float) -> int | None:
    """The number of new images from which on such a gap is seen; None where the reference is too small for any."""
    remaining = gap**2 / (-math.log(level / 2) / 2) - 1 / num_reference
    return math.ceil(1 / remaining) if remaining > 0 else None
