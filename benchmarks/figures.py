"""What a benchmark answers: figures with their spread and the bound they are held to."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.foundation.progress import progress

Options = argparse.Namespace


class Skipped(Exception):  # noqa: N818  nothing went wrong
    """A benchmark cannot run here; the message says what it lacks."""


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: What was measured, in words.
        value: The number.
        unit: `×`, `s`, `ms`, `%`, `MB`, `images/s` and so on; `%` is printed of a fraction of one.
        spread: The smallest and largest of the interleaved pairs, where there are any.
        at_least: The bound it is held to.
        at_most: The bound it is held to.
    """

    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def cells(self) -> list[str]:
        """What, value, spread, bound and verdict as text."""
        low_high = "" if self.spread is None else f"{self._text(self.spread[0])} to {self._text(self.spread[1])}"
        bound = f"≥ {self._text(self.at_least)}" if self.at_least is not None else ""
        bound = f"≤ {self._text(self.at_most)}" if self.at_most is not None else bound
        return [self.what, self._text(self.value), low_high, bound, {True: "yes", False: "NO", None: ""}[self.holds]]

    def _text(self, number: float) -> str:
        if self.unit == "%":
            return f"{100 * number:.1f} %"
        digits = 2 if abs(number) < 100 else 0
        return f"{number:,.{digits}f} {self.unit}"


def interleaved(
    ways: Mapping[str, Callable[[], Any]], num_rounds: int, doing: str, *, num_warm_ups: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call of each way, one entry a round; rounds alternate, forwards and backwards.

    A busy moment of the machine then strikes all the ways, and none always comes first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in progress(range(num_warm_ups + num_rounds), doing, unit="round"):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: times[num_warm_ups:] for name, times in seconds.items()}


def ratio(what: str, above: Sequence[float], below: Sequence[float], **bounds: float) -> Figure:
    """The ratio of two medians, with the range of the ratios of pairs from one round."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    value = statistics.median(above) / statistics.median(below)
    return Figure(what, value, "×", (min(pairs), max(pairs)), **bounds)


def median(what: str, seconds: Sequence[float], unit: str, scale: float = 1.0) -> Figure:
    """The median of some times, `scale` units a second, with their range."""
    return Figure(what, scale * statistics.median(seconds), unit, (scale * min(seconds), scale * max(seconds)))


def rate(what: str, seconds: Sequence[float], num_images: int) -> Figure:
    """Images a second, from the times that `num_images` took."""
    rates = [num_images / time_taken for time_taken in seconds]
    return Figure(what, statistics.median(rates), "images/s", (min(rates), max(rates)))
