"""Labels of a table that are none as they stand: a person is asked before they become classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from graft.data.formats.table_rows import Column
from graft.foundation.errors import GraftError

BETWEEN = ("|", ";", ",", "+", "&", "/", " ")
FEWEST_LINES = 10  # below that even good labels are mostly unique
NUM_SHOWN = 5
MANY = "set task: multilabel, where an image may have several (separator, or label_columns, of ingest.source)"


def refuse_strange_labels(labels: Sequence[str], column: Column, cells: Mapping[Column, Sequence[str]]) -> None:
    """Asks about labels that hold several values, columns of 0 and 1, and labels that are mostly unique.

    Args:
        labels: Label of each line.
        column: Column they stand in.
        cells: All columns of the table.

    Raises:
        GraftError: They are such labels; listing them in `classes` says that they are meant.
    """
    several = several_in_one(sorted(set(labels)))
    found = (several, f"give each line one label, or {MANY}") if several else None
    found = found or _one_hot(column, cells) or _unique(labels)
    if found:
        what, remedy = found
        raise GraftError(
            f"the labels of column {column!r} do not look like classes: {what}",
            where="ingest.source.label_column",
            rule="an image has one label, and a class has many images",
            remedy=f"{remedy}; if they are the classes, list them in classes",
        )


def warn_of_twins(names: Sequence[str]) -> list[str]:
    """Warnings of classes whose names differ in nothing but case or spaces."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike["".join(name.casefold().split())].append(name)
    return [
        f"{' and '.join(twins)} become classes of their own and differ only in case or spaces; write them alike if "
        "they are one"
        for twins in alike.values()
        if len(twins) > 1
    ]


def several_in_one(labels: Sequence[str]) -> str | None:
    """Describes labels made of others, in words: one part is a label by itself, or few parts make many labels."""
    known = set(labels)
    for between in BETWEEN:
        parts = {label: [part.strip() for part in label.split(between) if part.strip()] for label in labels}
        combined = [label for label in labels if len(parts[label]) > 1]
        counts = Counter(part for label in labels for part in set(parts[label]))
        if between == " ":  # "polar bear" beside "bear" is a name
            made = [label for label in combined if all(part in known for part in parts[label])]
        else:
            made = [label for label in combined if any(counts[part] > 1 for part in parts[label])]
        if made or (combined and len(counts) * 2 <= len(labels)):
            shown = ", ".join(map(repr, (made or combined)[:NUM_SHOWN]))
            return f"several values in one label, as {shown}"
    return None


def _one_hot(column: Column, cells: Mapping[Column, Sequence[str]]) -> tuple[str, str] | None:
    """A label of 0 and 1 beside other columns of 0 and 1: one, of which each line has one 1, or two and more."""
    binary = {name: [_number(cell) for cell in column] for name, column in cells.items() if _is_binary(column)}
    if column not in binary or len(binary) < 2:
        return None
    sums = {sum(line) for line in zip(*binary.values(), strict=True)}
    if len(binary) == 2 and sums != {1.0}:
        return None
    return (
        f"{', '.join(map(str, binary))} hold 0 and 1, a column per class",
        f"write one column that names the class, or {MANY}",
    )


def _unique(labels: Sequence[str]) -> tuple[str, str] | None:
    different = sorted(set(labels))
    if len(labels) < FEWEST_LINES or len(different) * 2 <= len(labels):
        return None
    shown = ", ".join(different[:NUM_SHOWN])
    return f"{len(different)} different ones in {len(labels)} lines, as {shown}", "name the column that holds the class"


def _is_binary(cells: Sequence[str]) -> bool:
    return {_number(cell) for cell in set(cells)} == {0.0, 1.0}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return -1.0
