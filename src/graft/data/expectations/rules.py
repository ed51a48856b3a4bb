"""The rules, as data: what is looked at, what must hold, how severe it is, and what a person reads about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd


@dataclass(frozen=True)
class Rule:
    """One expectation over one column.

    Attributes:
        name: Its name in the report and in `validate.allow`.
        severity: A failed `critical` rule stops the stage; a `warning` is reported.
        table: `images`, `classes` (of train) or `splits`.
        column: The column looked at; empty for a rule about the table as a whole.
        kind: Kind of rule: `absent` (the column holds findings in words, so it must be null), `between`, `one_of`,
            `unique`, or for the whole table `columns` and `num_rows`.
        bounds: The arguments of the kind: `min_value`, `max_value`, `value_set`, `column_set`.
        rule: Rule in words.
        why: Why it matters.
        remedy: Action that fixes rows that break it.
    """

    name: str
    severity: Literal["critical", "warning"]
    table: Literal["images", "classes", "splits"]
    column: str
    kind: Literal["absent", "between", "one_of", "unique", "columns", "num_rows"]
    bounds: Mapping[str, Any]
    rule: str
    why: str
    remedy: str

    def broken_by(self, rows: pd.DataFrame) -> pd.Series:
        """bool per row: whether the row breaks the rule. Rows whose value is null break nothing."""
        values = rows[self.column] if self.column else pd.Series(dtype=object)
        if self.kind == "absent":
            return values.notna()
        if self.kind == "between":
            return (values < self.bounds.get("min_value", -float("inf"))) | (
                values > self.bounds.get("max_value", float("inf"))
            )
        if self.kind == "one_of":
            return values.notna() & ~values.isin(self.bounds["value_set"])
        return values.notna() & values.duplicated(keep=False)

    def in_words(self, value: Any) -> str:
        """Describes what was found in a row."""
        if self.kind == "unique":
            return "more than once"
        if isinstance(value, str):
            return value if self.kind == "absent" else f"{self.column} {value}"
        return f"{self.column} {value:.4g}" if isinstance(value, float) else f"{self.column} {value}"


def absent(severity: Any, name: str, column: str, rule: str, why: str, remedy: str) -> Rule:
    """A rule over a column of findings in words: it holds where there is none."""
    return Rule(name, severity, "images", column, "absent", {}, rule, why, remedy)
