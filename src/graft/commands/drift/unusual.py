"""The new images that moved most, each with what is unusual about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.commands.drift.comparison import CONFIDENCE, FEATURES, WORDS
from graft.commands.drift.two_samples import neighbour_distances
from graft.evaluation.observations import Observations

TAIL_FRACTION = 0.01  # of the reference: a value beyond all but so many of its images is unusual
NUM_SHOWN = 12


@dataclass(frozen=True)
class UnusualImage:
    """A new image.

    Attributes:
        place: Its place among the new images.
        reasons: Each way in which it is unusual, in words.
    """

    place: int
    reasons: tuple[str, ...]


def most_unusual(reference: Observations, new: Observations, moved: Sequence[str]) -> list[UnusualImage]:
    """At most `NUM_SHOWN` images outside the reference: those unusual in most of the measures that moved come first.

    Of as many measures, the one whose features lie farthest from the reference comes first.
    """
    distances = neighbour_distances(reference.features, new.features)
    own = neighbour_distances(reference.features)
    num_reasons = np.zeros(len(distances), int)
    found: list[list[str]] = [[] for _ in distances]
    for name in moved:
        for place, reason in _unusual_in(name, reference, new, own, distances):
            num_reasons[place] += 1
            found[place].append(reason)
    order = np.lexsort((np.array(new.digests), -distances, -num_reasons))
    return [UnusualImage(int(place), tuple(found[place])) for place in order[:NUM_SHOWN] if found[place]]


def _unusual_in(
    name: str, reference: Observations, new: Observations, own: np.ndarray, distances: np.ndarray
) -> list[tuple[int, str]]:
    """Place and reason of each image that is unusual in one measure."""
    if name == FEATURES:
        limit = np.quantile(own, 1 - TAIL_FRACTION)
        return [(int(place), "unlike any image of the reference") for place in np.flatnonzero(distances > limit)]
    columns = {one: (reference.properties[one], new.properties[one]) for one in reference.properties}
    columns[CONFIDENCE] = reference.confidence, new.confidence
    if name not in columns:
        return []
    before, now = columns[name]
    low, high = np.quantile(before, [TAIL_FRACTION, 1 - TAIL_FRACTION])
    fewer, more = WORDS[name][1:]
    return [
        (int(place), f"{word} ({name.replace('_', ' ')} {now[place]:.3g})")
        for word, is_out in ((fewer, now < low), (more, now > high))
        for place in np.flatnonzero(is_out)
    ]
