"""The results of a benchmark: figures with their spread and the bound they have to keep."""

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
    """Raised by a benchmark that cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: Description of the measurement.
        value: Measured number.
        unit: Unit of the number: `×`, `s`, `ms`, `MB`, `images/s` and so on, empty for none; for `%` the number is a
            fraction of one.
        spread: Smallest and largest number of the interleaved pairs, if there are pairs.
        at_least: Lower bound it has to keep, if there is one.
        at_most: Upper bound it has to keep, if there is one.
    """

    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None if there is no bound."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def cells(self) -> list[str]:
        """Description, value, spread, bound and verdict as text."""
        low_high = "" if self.spread is None else f"{self._text(self.spread[0])} to {self._text(self.spread[1])}"
        bound = f"≥ {self._text(self.at_least)}" if self.at_least is not None else ""
        bound = f"≤ {self._text(self.at_most)}" if self.at_most is not None else bound
        return [self.what, self._text(self.value), low_high, bound, {True: "yes", False: "NO", None: ""}[self.holds]]

    def _text(self, number: float) -> str:
        if self.unit == "%":
            return f"{100 * number:.1f} %"
        digits = 0 if isinstance(number, int) or abs(number) >= 100 else 2
        return f"{number:,.{digits}f} {self.unit}".rstrip()


def interleave(
    ways: Mapping[str, Callable[[], Any]], num_rounds: int, doing: str, *, num_warm_ups: int = 1
) -> dict[str, list[float]]:
    """Measures functions in turn; returns the seconds of each call by name. Every second round runs backwards.

    A busy moment of the machine thus affects all functions, and none always comes first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in progress(range(num_warm_ups + num_rounds), doing, unit="round"):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: times[num_warm_ups:] for name, times in seconds.items()}


def ratio(what: str, above: Sequence[float], below: Sequence[float], **bounds: float) -> Figure:
    """The ratio of two medians; its spread is that of the ratios within a round."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    value = statistics.median(above) / statistics.median(below)
    return Figure(what, value, "×", (min(pairs), max(pairs)), **bounds)


def median(what: str, seconds: Sequence[float], unit: str, scale: float = 1.0) -> Figure:
    """The median of times, with their range; a second is `scale` units."""
    return Figure(what, scale * statistics.median(seconds), unit, (scale * min(seconds), scale * max(seconds)))


def rate(what: str, seconds: Sequence[float], num_images: int) -> Figure:
    """The images per second that follow from the times `num_images` took."""
    rates = [num_images / time_taken for time_taken in seconds]
    return Figure(what, statistics.median(rates), "images/s", (min(rates), max(rates)))
