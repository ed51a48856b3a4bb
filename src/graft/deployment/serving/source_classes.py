"""From class ids back to what the source calls its classes, and from logits to probabilities."""

from __future__ import annotations

from collections.abc import Iterable
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
    """The grey value or RGB triple that each class is written as; `rest` becomes a value that no class names."""
    lists = [values if isinstance(values, tuple) else (values,) for values in class_map.source_values]
    named = {grey for values in lists for value in values for grey in _greys(value)}
    free = next(grey for grey in range(65536) if grey not in named)
    return [
        free if values[0] == REST else values[0] if isinstance(values[0], tuple) else min(_greys(values[0]))
        for values in lists
    ]


def _greys(value: Any) -> Iterable[int]:
    """The grey values that one value of a source means: itself, a range "1-254", v of a colour (v, v, v)."""
    if isinstance(value, tuple):
        return set(value) if len(set(value)) == 1 else ()
    if isinstance(value, int):
        return (value,)
    begin, _, end = str(value).partition("-")
    if value == REST:
        return ()
    if not begin.strip().isdigit():
        raise GraftError(f"{value!r} is no value of a mask", where="class_map.json", remedy="run dvc repro ingest")
    return range(int(begin), int(end or begin) + 1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits [K], float64: exp(z_k) / Σ exp(z_j)."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()
