"""`validate.allow`: what a person looked at and accepts, with the reason."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from graft.data.expectations.rules import Rule
from graft.foundation.errors import GraftError, suggest


@dataclass(frozen=True)
class Excuse:
    """An entry of `validate.allow` and the number of rows it excused."""

    images: str
    reason: str
    count: int


def check_names(allow: Sequence[Any], names: Sequence[str]) -> None:
    """Refuses entries that name no expectation.

    Raises:
        GraftError: With every such entry and the name it resembles.
    """
    problems = []
    for index, entry in enumerate(allow):
        if entry.expectation not in names:
            hint = suggest(entry.expectation, names)
            problems.append(f"validate.allow[{index}]: there is no expectation {entry.expectation!r}; {hint}")
    if problems:
        raise GraftError.of_all("validate.allow names expectations that do not exist", problems)


def excuse_rows(table: pd.DataFrame, rule: Rule, allow: Sequence[Any]) -> tuple[str, tuple[Excuse, ...]]:
    """Puts the values that count for `rule` where its entries of `allow` excuse rows.

    Rows are excused by their very id, brackets and all, or by a glob over ids (for rules about classes or splits: over
    their names). Excused values become
    null in a copy of the column, which is added to `table`; null values break no rule.

    Returns:
        The name of the column to judge, and each entry with the number of rows it excused. A row that two entries
        match is counted for the first.
    """
    entries = [entry for entry in allow if entry.expectation == rule.name]
    if not entries or not rule.column:
        return rule.column, tuple(Excuse(entry.images, entry.reason, 0) for entry in entries)
    left, excuses = rule.broken_by(table), []
    values = table[rule.column]
    for entry in entries:
        ids = table["id"].astype(str)
        matches = ids.str.match(re.compile(fnmatch.translate(entry.images))) | (ids == entry.images)
        hit = left & matches
        values, left = values.mask(hit), left & ~hit
        excuses.append(Excuse(entry.images, entry.reason, int(hit.sum())))
    column = f"{rule.column} ({rule.name}, allowed left out)"
    table[column] = values
    return column, tuple(excuses)
