"""New images compared with a model's reference, measure by measure: how surely each moved, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graft.commands.drift.two_samples import energy_test, holm, largest_gap, neighbour_distances
from graft.data.properties import PROPERTIES
from graft.evaluation.observations import Observations

FEATURES, CLASS_SHARES, CONFIDENCE = "features", "class shares", "confidence"
MEASURES = (*PROPERTIES, FEATURES, CLASS_SHARES, CONFIDENCE)
WORDS = PROPERTIES | {CONFIDENCE: ("", "less sure", "surer")}
MOST_PERMUTED = 1000  # new images that a test by permutation looks at; its cost grows with their square
# A permuted p-value is never below one in as many permutations: there must be room below the strictest level.
PERMUTATIONS_A_LEVEL = 5
OUTSIDE_FRACTION = 0.05  # of the reference itself; farther from its neighbours than the others is outside


@dataclass(frozen=True)
class MeasuredChange:
    """A measure of the new images beside that of the reference.

    Attributes:
        name: One of `MEASURES`.
        p_value: Chance of such a difference between two samples of one source.
        effect: Share of the images (class shares of a segmenter: of the pixels) that are not as before, at least.
        said: The effect in words.
        before: Median of the reference; None for measures of many numbers.
        now: Median of the new images.
        fell: Whether the new values are the smaller ones.
        moved: Whether the difference is more than chance, all tests taken together.
    """

    name: str
    p_value: float
    effect: float
    said: str
    before: float | None = None
    now: float | None = None
    fell: bool = False
    moved: bool = False


def compare(
    reference: Observations, new: Observations, class_names: Sequence[str], unit: str, false_alarms: float, seed: int
) -> list[MeasuredChange]:
    """A movement for each of `MEASURES`, in that order.

    Args:
        reference: Observations of the model's reference.
        new: Observations of the new images.
        class_names: Names of the K classes.
        unit: Class shares are shares of these: pixels or images.
        false_alarms: Chance at which any measure may be said to have moved where none has.
        seed: Seed of the permutations.
    """
    chosen = np.argsort(new.digests)[:MOST_PERMUTED]  # by digest: neither the order nor the names of files decide
    num_permutations = round(PERMUTATIONS_A_LEVEL * len(MEASURES) / false_alarms) - 1

    def permuted(before: np.ndarray, now: np.ndarray) -> float:
        return energy_test(before, now[chosen], num_permutations, seed)

    movements = [_of_numbers(name, reference.properties[name], new.properties[name]) for name in PROPERTIES]
    share, features = outside_share(reference, new), permuted(reference.features, new.features)
    movements.append(MeasuredChange(FEATURES, features, max(0.0, share - OUTSIDE_FRACTION), _say_outside(share)))
    before, now = reference.class_shares.mean(axis=0), new.class_shares.mean(axis=0)
    movements.append(
        MeasuredChange(
            CLASS_SHARES,
            permuted(reference.class_shares, new.class_shares),
            float(np.abs(now - before).sum() / 2),
            _say_shares(before, now, class_names, unit),
        )
    )
    movements.append(_of_numbers(CONFIDENCE, reference.confidence, new.confidence))
    failed = holm([movement.p_value for movement in movements], false_alarms)
    return [replace(movement, moved=moved) for movement, moved in zip(movements, failed, strict=True)]


def outside_share(reference: Observations, new: Observations) -> float:
    """Share of the new images that lie outside the reference: as far from it as only 5% of its own images do."""
    limit = np.quantile(neighbour_distances(reference.features), 1 - OUTSIDE_FRACTION)
    return float(np.mean(neighbour_distances(reference.features, new.features) > limit))


def _of_numbers(name: str, before: np.ndarray, now: np.ndarray) -> MeasuredChange:
    gap, fewer = largest_gap(before, now), WORDS[name][1]
    fell = gap.now >= gap.before
    below = f"{_of_100(gap.now)} are at most {gap.value:.3g}, and {_of_100(gap.before)} before"
    above = f"{_of_100(1 - gap.now)} are above {gap.value:.3g}, and {_of_100(1 - gap.before)} before"
    said = f"{fewer if fell else WORDS[name][2]}: {below if fell else above}" if gap.now != gap.before else "the same"
    return MeasuredChange(
        name,
        gap.p_value,
        abs(gap.now - gap.before),
        said,
        before=float(np.median(before)),
        now=float(np.median(now)),
        fell=fell,
    )


def _say_outside(share: float) -> str:
    return f"{_of_100(share)} lie as far from the reference as only {_of_100(OUTSIDE_FRACTION)} of its own images do"


def _say_shares(before: np.ndarray, now: np.ndarray, class_names: Sequence[str], unit: str) -> str:
    largest = int(np.abs(now - before).argmax())
    share = float(np.abs(now - before).sum() / 2)
    return (
        f"{_of_100(share)} {unit} are of another class; most of all {class_names[largest]}, "
        f"{100 * before[largest]:.1f}% before and {100 * now[largest]:.1f}% now"
    )


def _of_100(share: float) -> str:
    return f"{100 * share:.0f} of 100"
