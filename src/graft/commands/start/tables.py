"""A table that lists pictures: which of its columns are images, masks, labels and splits."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.formats.files import Found, by_end, ends_of, id_of
from graft.data.formats.split_names import split_named
from graft.data.formats.table_labels import several_in_one
from graft.data.formats.unlabelled_images import is_picture

MOST_BYTES = 1 << 26
LEAST_SHARE_OF_PATHS = 0.8
LEAST_LINES = 2
ONES = frozenset({"1", "1.0"})
BITS = ONES | {"0", "0.0"}
SEPARATORS = "|;,"  # of the labels of one cell
Ends = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table that lists pictures.

    Attributes:
        name: Its path.
        source: Value of `ingest.source`, without the column of labels or masks.
        labels: Columns that could be labels.
        label_cells: Options `label_column` and `separator` of a column whose cells hold several labels, if any do.
        label_columns: Columns of 0 and 1, one a class.
        is_single: Whether each line has one 1 in these.
        mask_column: Column of the masks, if there is one.
        masks: Ids of the masks.
        doubts: Doubts, a sentence each.
    """

    name: str
    source: dict[str, Any]
    labels: list[str | int]
    label_cells: dict[str, str | int]
    label_columns: list[str | int]
    is_single: bool
    mask_column: str | int | None
    masks: list[str]
    doubts: tuple[str, ...]


def find_table(found: Found, candidates: Sequence[str]) -> Table | None:
    """The first of some files that is a table of pictures."""
    ends = by_end(filter(is_picture, found.paths))
    for id in candidates:
        if (found.root / found.paths[id]).stat().st_size > MOST_BYTES:
            continue
        delimiter, rows = _rows(found, id)
        others = [other for other in candidates if other != id and posixpath.basename(other) == posixpath.basename(id)]
        alike = [other for other in others if rows and (read := _rows(found, other)[1]) and read[0] == rows[0]]
        rows += [row for other in alike for row in _rows(found, other)[1][1:]]
        is_table = len(rows) > LEAST_LINES and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
        if is_table and (table := _read(_pattern([id, *alike]), delimiter, rows, ends)) is not None:
            return table
    return None


def _rows(found: Found, id: str) -> tuple[str, list[list[str]]]:
    """The character between the columns of a table, and its lines that are not empty."""
    text = (found.root / found.paths[id]).read_text(encoding="utf-8-sig", errors="replace")
    delimiter = _delimiter(text)
    lines = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    return delimiter, [[cell.strip() for cell in line] for line in lines if any(line)]


def _pattern(ids: Sequence[str]) -> str:
    """The option `table`: the path of the only table, or a glob of several that are called alike."""
    if len(ids) == 1:
        return ids[0]
    return ("*/" if {id.count("/") for id in ids} == {1} else "**/") + posixpath.basename(ids[0])


def _read(name: str, delimiter: str, rows: Sequence[Sequence[str]], ends: Ends) -> Table | None:
    has_header = not any(_picture(cell, ends) and _is_path(cell) for cell in rows[0])
    lines = rows[1:] if has_header else rows
    columns = {
        (title if has_header else number): [row[number - 1] for row in lines]
        for number, title in enumerate(rows[0], start=1)
    }
    paths = [column for column, cells in columns.items() if _are_pictures(cells, ends)]
    written_as_paths = [column for column in paths if any(map(_is_path, columns[column]))]
    paths = written_as_paths or paths
    if not paths:
        return None
    doubts = [f"the columns {', '.join(map(str, paths))} could all be images"] if len(paths) > 2 else []
    if not written_as_paths:
        doubts.append(
            f"the cells of {paths[0]} name pictures without their endings; look whether they are the right ones"
        )
    splits = [column for column, cells in columns.items() if column not in paths and _are_splits(cells)]
    rest = {column: cells for column, cells in columns.items() if column not in (*paths, *splits)}
    label_columns, is_single = _label_columns(rest)
    label_cells = _label_cells(rest)
    labels = [column for column, cells in rest.items() if column not in label_columns and _are_labels(cells)]
    mask_column = paths[1] if len(paths) == 2 else None
    masks = [] if mask_column is None else [ends[end][0] for cell in columns[mask_column] if (end := _end(cell, ends))]
    source: dict[str, Any] = {"name": "csv", "table": name, "image_column": paths[0]}
    source |= {"delimiter": delimiter} if delimiter != "," else {}
    source |= {} if has_header else {"header": False}
    source |= {"split_column": splits[0]} if splits else {}
    if not labels and not label_cells and not label_columns and not masks:
        return None
    return Table(name, source, labels, label_cells, label_columns, is_single, mask_column, masks, tuple(doubts))


def _label_columns(columns: Mapping[str | int, Sequence[str]]) -> tuple[list[str | int], bool]:
    """The columns of 0 and 1, and whether each line has one 1; beside others, two count only if that is so."""
    binary = [column for column, cells in columns.items() if set(cells) <= BITS]
    sums = {sum(cell in ONES for cell in line) for line in zip(*(columns[column] for column in binary), strict=True)}
    is_single = sums == {1}
    are_classes = len(binary) > 2 or (len(binary) == 2 and (is_single or len(columns) == 2))
    return (binary, is_single) if are_classes else ([], False)


def _label_cells(columns: Mapping[str | int, Sequence[str]]) -> dict[str, str | int]:
    """Options of the source for the first column whose cells hold several words, which repeat as labels do."""
    for column, cells in columns.items():
        for separator in SEPARATORS:
            parts = [part.strip() for cell in cells for part in cell.split(separator) if part.strip()]
            are_words = not all(part.lstrip("-").replace(".", "").isdecimal() for part in parts)
            if len(parts) > len(cells) and are_words and _are_labels(parts) and several_in_one(sorted(set(cells))):
                return {"label_column": column, "separator": separator}
    return {}


def _are_pictures(cells: Sequence[str], ends: Ends) -> bool:
    """Whether most cells are the path of a picture, or the end of one, with its ending or without."""
    met = [_picture(cell, ends) for cell in cells if cell]
    return len(met) >= LEAST_LINES and sum(met) >= LEAST_SHARE_OF_PATHS * len(met)


def _are_splits(cells: Sequence[str]) -> bool:
    return len(set(cells)) > 1 and all(split_named(cell) for cell in cells)


def _are_labels(cells: Sequence[str]) -> bool:
    """Whether cells repeat as labels do."""
    return 2 <= len(set(cells)) <= max(2, len(cells) // 3)


def _picture(cell: str, ends: Ends) -> bool:
    return _end(cell, ends) is not None


def _end(cell: str, ends: Ends) -> str | None:
    return next((end for end in ends_of(id_of(cell.replace("\\", "/"))) if end in ends), None)


def _is_path(cell: str) -> bool:
    return "/" in cell or "\\" in cell or is_picture(posixpath.basename(cell))


def _delimiter(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return max(",;\t", key=first.count)
