"""The goal of a smaller model, and the outcome of an attempt beside the model that it began from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graft.foundation.errors import GraftError

ROUNDING = 1e-9  # a drop of 0.01 that is written 0.010000000000000009


@dataclass(frozen=True)
class Outcome:
    """An attempt that was trained, scored and timed.

    Attributes:
        name: Name of the attempt.
        key: Digest of all that its result depends on.
        score: Headline score on val, mean IoU or accuracy, of the exported file.
        latency_ms: Median time of one image, from decoded pixels to class ids.
        origin_score: Score of the model that was shrunk, on the same images.
        origin_ms: Its latency, measured in turns with the attempt's.
        num_bytes: Size of the exported file.
    """

    name: str
    key: str
    score: float
    latency_ms: float
    origin_score: float
    origin_ms: float
    num_bytes: int

    @property
    def drop(self) -> float:
        """By how much the score fell."""
        return self.origin_score - self.score

    @property
    def speed(self) -> float:
        """How many times as fast it is as the model that was shrunk."""
        return self.origin_ms / self.latency_ms


@dataclass(frozen=True)
class Goal:
    """Limits that all have to hold; None where nothing is asked.

    Attributes:
        latency_ratio: How many times as fast as the model that is shrunk, at least.
        latency_ms: Largest latency.
        num_bytes: Largest size of the exported file.
        max_drop: By how much the score may fall.
    """

    latency_ratio: float | None = None
    latency_ms: float | None = None
    num_bytes: int | None = None
    max_drop: float = 0.01

    def __post_init__(self) -> None:
        """Refuses what is no goal.

        Raises:
            GraftError: Nothing is asked, or a number makes no sense; everything that is wrong is listed.
        """
        problems = []
        if not 0 <= self.max_drop <= 1:
            problems.append(f"--max-drop is {self.max_drop:g}; a score falls by 0 to 1, and 0.01 is one point")
        if self.latency_ratio is not None and not self.latency_ratio > 1:
            problems.append(
                f"--latency-ratio is {self.latency_ratio:g}; faster is more than 1, 3 is three times as fast"
            )
        if self.latency_ms is not None and not self.latency_ms > 0:
            problems.append(f"--latency-ms is {self.latency_ms:g}; a time is more than 0")
        if self.num_bytes is not None and self.num_bytes <= 0:
            problems.append(f"--bytes is {self.num_bytes}; a file has more than 0")
        if self.latency_ratio is None and self.latency_ms is None and self.num_bytes is None:
            problems.append("no limit is given; --latency-ratio, --latency-ms and --bytes say how fast or small")
        if problems:
            raise GraftError.of_all("no goal", problems, remedy="graft shrink --latency-ratio 3 --max-drop 0.01")

    def misses(self, outcome: Outcome) -> dict[str, str]:
        """The limits that an attempt misses: option, and the value with which it would be met.

        Values are rounded to the side on which the attempt meets them.
        """
        found = {}
        if self.latency_ratio is not None and outcome.speed < self.latency_ratio:
            found["--latency-ratio"] = f"{int(outcome.speed * 100) / 100:.2f}"
        if self.latency_ms is not None and outcome.latency_ms > self.latency_ms:
            found["--latency-ms"] = f"{outcome.latency_ms + 0.005:.2f}"
        if self.num_bytes is not None and outcome.num_bytes > self.num_bytes:
            found["--bytes"] = str(outcome.num_bytes)
        if outcome.drop > self.max_drop + ROUNDING:
            found["--max-drop"] = f"{outcome.drop + 0.00005:.4f}"
        return found

    def winner(self, outcomes: Sequence[Outcome]) -> Outcome | None:
        """The attempt with the highest score among those that meet every limit, the faster of equals; None if none."""
        met = [one for one in outcomes if not self.misses(one)]
        return max(met, key=lambda one: (one.score, -one.latency_ms), default=None)

    def nearest(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Sentences that say with which single limit relaxed, and how far, the goal would be met, and by what.

        Of attempts that miss the same limit the one that needs least of it is named. Where each misses more than one,
        the attempt with the highest score among those that miss fewest is named with all of them.
        """
        missed = {one: self.misses(one) for one in outcomes}
        best: dict[str, Outcome] = {}
        for one in (one for one in outcomes if len(missed[one]) == 1):
            (option,) = missed[one]
            if option not in best or self._excess(one, option) < self._excess(best[option], option):
                best[option] = one
        if not best and outcomes:
            one = min(outcomes, key=lambda each: (len(missed[each]), -each.score))
            return [f"{one.name} misses {_listed(missed[one])}"]
        return [f"{option} {missed[one][option]} would be met by {one.name}" for option, one in best.items()]

    def _excess(self, outcome: Outcome, option: str) -> float:
        values = {
            "--latency-ratio": -outcome.speed,
            "--latency-ms": outcome.latency_ms,
            "--bytes": outcome.num_bytes,
            "--max-drop": outcome.drop,
        }
        return values[option]


def frontier(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The attempts that no other beats in both score and latency, fastest first (the Pareto frontier)."""
    best: list[Outcome] = []
    for one in sorted(outcomes, key=lambda each: (each.latency_ms, -each.score)):
        if not best or one.score > best[-1].score:
            best.append(one)
    return best


def _listed(misses: dict[str, str]) -> str:
    return " and ".join(f"{option} (it would take {value})" for option, value in misses.items())
