"""Progress of every loop over images, batches or epochs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_PLAIN_LINES = 10.0


def progress(items: Iterable[T], doing: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yields the items, showing on stderr how far the loop is, its rate and the time left."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    on_terminal = sys.stderr.isatty()
    bar = tqdm(
        items,
        desc=doing,
        total=total,
        unit=unit,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=True,
        ascii=None if on_terminal else True,
        mininterval=0.1 if on_terminal else SECONDS_BETWEEN_PLAIN_LINES,
        bar_format=None if on_terminal else "{desc}: {n_fmt}/{total_fmt} {unit} at {rate_fmt}, {remaining} left\n",
    )
    yield from bar


def say(line: str) -> None:
    """One plain line on stderr, above a progress bar if one is showing."""
    tqdm.write(line, file=sys.stderr)
