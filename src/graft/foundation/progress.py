"""Progress of every loop over images, batches or epochs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_PLAIN_LINES = 10.0


def progress(items: Iterable[T], doing: str, *, total: int | None = None, unit: str = "it") -> Generator[T, None, None]:
    """Yields the items, showing on stderr how far the loop is, its rate and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with _clock.running():
        if sys.stderr.isatty():
            yield from tqdm(items, desc=doing, total=total, unit=unit, file=sys.stderr, dynamic_ncols=True)
        else:
            yield from _with_plain_lines(items, doing, total, unit)


def start_ticker(doing: str, total: int) -> Callable[[int], None]:
    """A progress bar over images that is moved by hand: the returned function takes the number of images just done."""
    bar = progress(range(total), doing, unit="image")
    next(bar, None)

    def tick(number: int) -> None:
        for _ in range(number):
            if next(bar, None) is None:
                break

    return tick


def _with_plain_lines(items: Iterable[T], doing: str, total: int | None, unit: str) -> Iterator[T]:
    started = told = time.perf_counter()
    number = 0
    for number, item in enumerate(items, 1):
        yield item
        now = time.perf_counter()
        if now - told >= SECONDS_BETWEEN_PLAIN_LINES and number != total:
            told = now
            say(_line(doing, number, total, unit, now - started))
    say(_line(doing, number, total, unit, time.perf_counter() - started))


def _line(doing: str, number: int, total: int | None, unit: str, seconds: float) -> str:
    rate = number / max(seconds, 1e-9)
    left = total and rate and (total - number) / rate
    ending = f", {tqdm.format_interval(left)} left" if left else f" in {tqdm.format_interval(seconds)}"
    return f"{doing}: {number}/{total or '?'} {unit} at {rate:.2f} {unit}/s{ending}"


class _LoopClock:
    """Wall time inside the outermost progress loops of this process; a loop in a loop is not counted twice."""

    def __init__(self) -> None:
        self.seconds, self._depth, self._started = 0.0, 0, 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        if self._depth == 0:
            self._started = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - self._started


_clock = _LoopClock()


def seconds_in_loops() -> float:
    """Seconds this process has spent in finished loops over images, batches or epochs."""
    return _clock.seconds


def warn(about: object) -> None:
    """Warns of something that does not stop the work, in one line on stderr."""
    say(f"graft: warning: {about}")


def say(line: str) -> None:
    """One plain line on stderr, above a progress bar if one is showing."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)
