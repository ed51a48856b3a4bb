"""Sets of labels in a table: several values in one cell, or a column of 0 and 1 for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graft.data.formats.listing import distinct_colours
from graft.data.formats.table_labels import several_in_one
from graft.data.formats.table_rows import Column, TableRows
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.errors import GraftError

CELLS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
FEWEST_CLASSES = 2


@dataclass(frozen=True)
class LabelSets:
    """Reads the labels of each line of a table.

    Attributes:
        columns: Columns of 0 and 1, one a class; None where one cell holds all labels of an image.
        separator: Character between the labels of that cell.
        classes: Names of the classes in order; None takes the labels that occur, or the names of the columns.
    """

    columns: Sequence[Column] | None
    separator: str
    classes: Sequence[str] | None

    def table_columns(self, label_column: Column) -> dict[str, Column]:
        """The columns to be read, by what they mean to a line."""
        if self.columns is None:
            return {"target": label_column}
        return {f"class {place}": column for place, column in enumerate(self.columns)}

    def read(self, rows: TableRows, lines: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], list[bytes | None]]:
        """The names of the K classes, and K bytes of zero and one for each line; None for one that is unlabelled.

        What cannot be used is added to the problems of `rows`.

        Raises:
            GraftError: There are fewer than two classes, or the cells are separated by another character.
        """
        names = self._names(lines)
        if len(set(names)) < max(FEWEST_CLASSES, len(names)) and lines:
            raise GraftError(
                f"csv finds {len(names)} labels ({', '.join(names) or 'none'})",
                where="ingest.source.label_columns" if self.columns else "ingest.source.label_column",
                rule="images with several labels need two classes or more, each with a name of its own",
            )
        return names, [self._bits(rows, line, names) for line in lines]

    def read_single(self, rows: TableRows, lines: list[dict[str, str]]) -> tuple[str, ...]:
        """The names of the K classes; puts the one that each line has under `target`.

        Lines that have none of them or several are taken out, and added to the problems of `rows`.

        Raises:
            GraftError: There are fewer than two classes.
        """
        names, sets = self.read(rows, lines)
        for line, own in zip([*lines], sets, strict=True):
            if own is None:
                continue
            if sum(own) == 1:
                line["target"] = names[own.index(1)]
                continue
            lines.remove(line)
            rows.problems.append(
                f"{line['table']} line {line['line']}: {sum(own)} of label_columns hold 1; a classifier needs one, and "
                "task: multilabel takes any number"
            )
        return names

    def _names(self, lines: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
        if self.columns is not None:
            names = tuple(map(str, self.classes or self.columns))
            if len(names) != len(self.columns):
                raise GraftError(
                    f"classes names {len(names)} and label_columns {len(self.columns)}",
                    where="ingest.source.classes",
                    rule="each column is one class",
                    remedy="give each of label_columns its name in classes, in the same order, or leave classes out",
                )
            return names
        cells = sorted({line["target"] for line in lines if line["target"]})
        if self.classes is not None:
            return tuple(self.classes)
        if not any(self.separator in cell for cell in cells) and (found := several_in_one(cells)):
            raise GraftError(
                f"no cell holds {self.separator!r}, and labels look like several: {found}",
                where="ingest.source.separator",
                rule="the labels of one cell are separated by one character",
                remedy="set separator; if they are single labels, list them in classes",
            )
        labels = {label for cell in cells for label in self._labels(cell)}
        are_numbers = all(label.isdecimal() for label in labels)
        return tuple(sorted(labels, key=lambda label: (int(label), label) if are_numbers else (0, label)))

    def _labels(self, cell: str) -> list[str]:
        return [label.strip() for label in cell.split(self.separator) if label.strip()]

    def _bits(self, rows: TableRows, line: Mapping[str, str], names: Sequence[str]) -> bytes | None:
        if line["split"] == UNLABELLED:
            return None
        where = f"{line['table']} line {line['line']}"
        if self.columns is None:
            labels = self._labels(line["target"])
            rows.problems += [f"{where}: {label!r} is none of the classes" for label in labels if label not in names]
            return bytes(name in labels for name in names)
        cells = {column: line[f"class {place}"] for place, column in enumerate(self.columns)}
        strange = {column: cell for column, cell in cells.items() if cell not in CELLS}
        rows.problems += [f"{where}: {cell!r} in column {column!r} is not 0 or 1" for column, cell in strange.items()]
        return bytes(CELLS.get(cell, 0) for cell in cells.values())


def labels_class_map(names: tuple[str, ...], source: str, *, official_splits: bool) -> ClassMap:
    """The class map of images that may have several of these labels."""
    return ClassMap("multilabel", names, distinct_colours(len(names)), names, official_splits, False, source)


def warn_of_bare(sets: Sequence[bytes | None]) -> list[str]:
    """A warning that images without any label count as having none of the classes, where there are such."""
    num_bare = sum(labels is not None and not any(labels) for labels in sets)
    return [f"images without any label, which count as having none of the classes: {num_bare}"] if num_bare else []
