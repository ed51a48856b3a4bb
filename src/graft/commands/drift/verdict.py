"""The verdict on new images: whether anything moved, whether an update is due, and what so few images leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from graft.commands.drift.comparison import CLASS_SHARES, CONFIDENCE, FEATURES, MEASURES, MeasuredChange
from graft.commands.drift.two_samples import num_images_needed, smallest_gap_seen

# Effects from which on an update is due, set by judgement before any was measured; `python -m benchmarks drift`
# measures those of other light and weather.
UPDATE_EFFECTS = {FEATURES: 0.5, CONFIDENCE: 0.3, CLASS_SHARES: 0.2}
RULE = (
    f"an update is due where features moved for {100 * UPDATE_EFFECTS[FEATURES]:.0f} of 100 images or more, confidence "
    f"fell for {100 * UPDATE_EFFECTS[CONFIDENCE]:.0f} or more, or class shares moved by "
    f"{100 * UPDATE_EFFECTS[CLASS_SHARES]:.0f} of 100 or more"
)


class State(StrEnum):
    """The three things that can be said of new images."""

    NOTHING = "nothing moved"
    MOVED = "moved: look at these images"
    UPDATE = "an update is due"


@dataclass(frozen=True)
class DriftVerdict:
    """The verdict on a comparison.

    Attributes:
        state: The verdict.
        moved: Names of the measures that moved.
        reasons: Names of those for which an update is due.
        undecided: Says what these images are too few to tell; empty where they are enough.
    """

    state: State
    moved: tuple[str, ...]
    reasons: tuple[str, ...]
    undecided: str


def judge(movements: Sequence[MeasuredChange], num_reference: int, num_new: int, false_alarms: float) -> DriftVerdict:
    """The verdict by `RULE`; a measure that did not move, by its test, counts for nothing however large its effect."""
    moved = [movement for movement in movements if movement.moved]
    reasons = [movement.name for movement in moved if _calls_for_update(movement)]
    state = State.UPDATE if reasons else State.MOVED if moved else State.NOTHING
    undecided = "" if reasons else _what_is_open(num_reference, num_new, false_alarms / len(MEASURES))
    return DriftVerdict(state, tuple(movement.name for movement in moved), tuple(reasons), undecided)


def _calls_for_update(movement: MeasuredChange) -> bool:
    is_harmless = movement.name == CONFIDENCE and not movement.fell
    return not is_harmless and movement.effect >= UPDATE_EFFECTS.get(movement.name, float("inf"))


def _what_is_open(num_reference: int, num_new: int, level: float) -> str:
    gap, seen = min(UPDATE_EFFECTS.values()), smallest_gap_seen(num_reference, num_new, level)
    if seen <= gap:
        return ""
    needed = num_images_needed(num_reference, gap, level)
    who = f"the reference of {num_reference:,} is too small to" if needed is None else f"{needed:,} new images would"
    what = f"a change of fewer than {100 * seen:.0f} of 100 images" if seen < 1 else "any change"
    return f"{num_new:,} new images are too few to tell {what} from chance; {who} show one of {100 * gap:.0f}"
