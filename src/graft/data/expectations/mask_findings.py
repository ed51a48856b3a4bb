"""Findings about masks, in words: a column for each question that a rule asks of a mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

MOST_REST_VALUES = 16  # of one mask; panoptic colours and blurred edges make dozens
FEWEST_MASKS, FEWEST_CLASSES, FEWEST_RUNS = 20, 4, 3  # what numbers of instances show before they are told from classes


def mask_findings(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns, each null where there is nothing to find."""
    differs = rows["mask_width"].notna() & (
        (rows["mask_width"] != rows["width"]) | (rows["mask_height"] != rows["height"])
    )
    crossed = differs & (rows["mask_width"] == rows["height"]) & (rows["mask_height"] == rows["width"])
    turned = crossed & ((rows["exif_orientation"] > 4) | (rows["mask_orientation"] > 4))
    alpha = "one colour throughout, and a shape in the transparency"
    return {
        "size_difference": in_words(rows, differs & ~turned, _sizes),
        "turned_apart": in_words(rows, turned, _turns),
        "unknown_mask_values": in_words(rows, rows["mask_unknown"].fillna(0) > 0, _unknown_values),
        "lossy_mask": ("mask is " + rows["mask_format"].astype(object)).where(rows["mask_lossy"].eq(True), None),
        "other_palette": _other_palette(rows),
        "alpha_mask": pd.Series(alpha, rows.index, dtype=object).where(rows["mask_alpha_only"].eq(True), None),
        "instances": _instances(rows),
        "many_rest_values": in_words(rows, rows["mask_rest_values"].fillna(0) > MOST_REST_VALUES, _rest_values),
    }


def in_words(rows: pd.DataFrame, where: pd.Series, write: Callable[[Any], str]) -> pd.Series:
    """Describes the rows at `where` with `write`; null elsewhere."""
    found = pd.Series(None, rows.index, dtype=object)
    found[where] = [write(row) for row in rows[where].itertuples()]
    return found


def _sizes(row: Any) -> str:
    return f"image {row.width}×{row.height}, mask {row.mask_width:.0f}×{row.mask_height:.0f}"


def _turns(row: Any) -> str:
    def of(orientation: float) -> str:
        return f"turned by its EXIF orientation {orientation:.0f}" if orientation > 1 else "as stored"

    image = f"image {row.width}×{row.height} {of(row.exif_orientation)}"
    return f"{image}, mask {row.mask_width:.0f}×{row.mask_height:.0f} {of(row.mask_orientation)}"


def _unknown_values(row: Any) -> str:
    values = [] if row.mask_unknown_values is None else list(row.mask_unknown_values)
    reading = f" ({row.mask_reading})" if isinstance(row.mask_reading, str) else ""
    return f"{row.mask_unknown:.0f} pixels, values {', '.join(map(str, values)) or 'not listed'}{reading}"


def _rest_values(row: Any) -> str:
    return f"{row.mask_rest_values:.0f} values that nobody names"


def _other_palette(rows: pd.DataFrame) -> pd.Series:
    """Masks in whose palette a position in use has another colour than in most masks of the same source."""
    keys = pd.Series(list(zip(rows["source"], rows["mask_palette"], strict=True)), rows.index, dtype=object)
    keys = keys[rows["mask_palette"].notna()]
    votes: dict[tuple[int, str], Counter[str]] = {}
    for (source, palette), count in keys.value_counts(sort=False).items():
        for index, colour in _colours(palette):
            votes.setdefault((source, index), Counter())[colour] += count
    usual = {place: max(sorted(colours), key=colours.__getitem__) for place, colours in votes.items()}

    def differences(key: tuple[int, str]) -> str | None:
        found = [(index, colour, usual[key[0], index]) for index, colour in _colours(key[1])]
        named = [f"value {index} is {own}, in most masks {other}" for index, own, other in found if own != other]
        return ", ".join(named) or None

    words = {key: differences(key) for key in set(keys)}
    return keys.map(words).reindex(rows.index).astype(object)


def _colours(palette: str) -> Iterator[tuple[str, str]]:
    for pair in palette.split():
        index, _, colour = pair.partition("=")
        yield index, colour


def _instances(rows: pd.DataFrame) -> pd.Series:
    """Every mask, if all look as if their ids counted instances: 1 to n without a gap, and n differs."""
    nothing = pd.Series(None, rows.index, dtype=object)
    counts = rows["mask_counts"].dropna()
    if len(counts) < FEWEST_MASKS or len({len(count) for count in counts}) != 1:
        return nothing
    shown = np.stack([np.asarray(count) for count in counts])[:, 1:] > 0
    lengths = shown.sum(axis=1)
    counted = (shown == (np.arange(shown.shape[1]) < lengths[:, None])).all()
    if shown.shape[1] + 1 < FEWEST_CLASSES or not counted or len(set(lengths[lengths > 0])) < FEWEST_RUNS:
        return nothing
    words = [f"shows classes 1 to {n} without a gap, as every mask does" if n else None for n in lengths]
    return pd.Series(words, counts.index, dtype=object).reindex(rows.index)
