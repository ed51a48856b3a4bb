"""From class ids back to what the source calls its classes, and from logits to probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np

from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

REST = "rest"


def to_source_values(ids: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Writes class ids in the values of the source: reading it with the source's own class table gives the same ids.

    Args:
        ids: uint8 [H, W], 0…K-1.
        class_map: Class map. A class has a grey value, or a list of grey values, ranges and RGB triples, of which the
            first is taken. If one class is a colour, all are written as colours.

    Returns:
        uint8 [H, W], uint16 [H, W] where a value is larger than 255, or uint8 RGB [H, W, 3].

    Raises:
        GraftError: A class has no value that a mask can hold.
    """
    values = source_values(class_map)
    if any(isinstance(value, tuple) for value in values):
        table = np.array([value if isinstance(value, tuple) else (value,) * 3 for value in values], np.uint8)
    else:
        greys = cast(list[int], values)
        table = np.array(greys, np.uint8 if max(greys) <= 255 else np.uint16)
    return table[ids]


def source_values(class_map: ClassMap) -> list[int | tuple[int, int, int]]:
    """The grey value or RGB triple that each class is written as; `rest` becomes one that nobody names or ignores."""
    lists = _named_values(class_map)
    written = [values[0] if isinstance(values[0], tuple) else min(_greys(values[0]), default=None) for values in lists]
    if None not in written:
        return cast(list[int | tuple[int, int, int]], written)
    named = [value for values in (*lists, class_map.void_values) for value in values]
    free = _free_value(named, as_colour=any(isinstance(value, tuple) for value in written))
    return [free if value is None else value for value in written]


def void_value(class_map: ClassMap, nodata: int | None) -> tuple[int, bool]:
    """The value that pixels without data have in a written mask, and whether reading it gives no class.

    That of the image, else one that the source ignores, else 255, else the largest of 8 bits or the smallest of 16 that
    no class reads; where one class is `rest`, only one that the source ignores. Where there is none, it is one
    that no class is written in, by the same order.

    Args:
        class_map: Class map.
        nodata: Value of pixels without data in the image, if it has one.
    """
    values, lists = source_values(class_map), _named_values(class_map)
    written = {grey for value in values for grey in _greys(value)}
    read = written.union(*(_greys(value) for values_of_class in lists for value in values_of_class))
    ignored = [grey for value in class_map.void_values for grey in _greys(value)]
    as_colour = any(isinstance(value, tuple) for value in values)
    most = 255 if as_colour else 65535
    bits_8 = 255 if as_colour or max(written) <= 255 else most
    wanted = [nodata, *ignored, *range(255, -1, -1), *range(256, most + 1)]
    known = sorted((value for value in wanted if value is not None and 0 <= value <= most), key=lambda v: v > bits_8)
    allowed = set(ignored if any(REST in each for each in lists) else known) - read
    free = next((value for value in known if value in allowed), None)
    return (next(value for value in known if value not in written), False) if free is None else (free, True)


def _named_values(class_map: ClassMap) -> list[tuple[Any, ...]]:
    """All that each class is called in the source."""
    return [values if isinstance(values, tuple) else (values,) for values in class_map.source_values]


def _free_value(named: Sequence[Any], *, as_colour: bool) -> int | tuple[int, int, int]:
    """The smallest grey value that is not named, or where colours are written and all greys are, a colour.

    Raises:
        GraftError: There is none.
    """
    taken = {grey for value in named for grey in _greys(value)} | {value for value in named if isinstance(value, tuple)}
    colours = (value for value in itertools.product(range(256 * as_colour), repeat=3) if len(set(value)) > 1)
    values: Any = itertools.chain(range(256 if as_colour else 65536), colours)
    free: int | tuple[int, int, int] | None = next((value for value in values if value not in taken), None)
    if free is None:
        raise GraftError(
            f"no value is left in which the class {REST} could be written",
            where="class_map.json",
            rule="a mask has 65536 grey values; classes and void name them all",
            remedy=f"leave a value free in ingest.source, or name the values of the class that is {REST}",
        )
    return free


def _greys(value: Any) -> Collection[int]:
    """The grey values that one value of a source means: itself, a range "1-254", v of a colour (v, v, v)."""
    if isinstance(value, tuple):
        return set(value) if len(set(value)) == 1 else ()
    if isinstance(value, int):
        return (value,)
    begin, _, end = str(value).partition("-")
    if value == REST:
        return ()
    if not begin.strip().isdigit():
        raise GraftError(f"{value!r} is no value of a mask", where="class_map.json", remedy="run dvc repro")
    return range(int(begin), int(end or begin) + 1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits [K], float64: exp(z_k) / Σ exp(z_j)."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()
