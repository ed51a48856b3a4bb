"""A table of paths, with a label or the path of a mask in each line."""

from __future__ import annotations

import csv as tables
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from graft.data.formats.class_values import Classes, Value, class_map_of, translation_of
from graft.data.formats.files import FileReader, Found, find_files, id_of
from graft.data.formats.listing import Entry, Listing, distinct_colours
from graft.data.formats.splits import TestFraction, ValFraction, check_fractions, check_not_empty, hashed_split
from graft.data.formats.translation import Translation
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

WORDS_FOR_SPLIT = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "unlabelled": ("unlabelled", "unlabeled"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS_FOR_SPLIT.items() for word in words}
Delimiter = Annotated[str, Field(min_length=1, max_length=1)]


def csv(
    task: str,
    seed: int,
    root: Path,
    *,
    table: str = "data.csv",
    delimiter: Delimiter = ",",
    image_column: str = "image",
    label_column: str = "label",
    mask_column: str = "mask",
    split_column: str | None = None,
    group_column: str | None = None,
    domain_column: str | None = None,
    classes: Classes | None = None,
    void: list[Value] = [],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
) -> Listing:
    """A table with a header: in each line the path of an image, and its label or the path of its mask.

    For data whose labels, splits, patients or sites stand in a spreadsheet. A classifier takes the label column, and
    its classes are the labels that occur, in order of number where all are numbers, else of the alphabet;
    segmentation takes the mask column and needs `classes`, as in `mask_folder`. Lines of the split `unlabelled` need
    neither.

    Args:
        table: Path of the table below the root; text in UTF-8.
        delimiter: Character between columns.
        image_column: Name of the column with the path of the image, below the root.
        label_column: Name of the column with the label; read for classification.
        mask_column: Name of the column with the path of the mask, below the root; read for segmentation.
        split_column: Name of the column that says train, val, test or unlabelled; null splits by hash.
        group_column: Name of the column of what must not be torn over two splits, as a patient.
        domain_column: Name of the column of where or when an image was taken.
        classes: Class to its mask values: grey values, ranges "1-254", RGB colours, or `rest`.
        void: Mask values that are ignored, in the same notation.
        val_fraction: Share of the groups that go to val, without a split column.
        test_fraction: Share of the groups that go to test, without a split column; 0 makes no test split.
    """
    check_fractions(val_fraction, test_fraction)
    found = find_files(root)
    target = mask_column if task == "segmentation" else label_column
    columns = {"image": image_column, "target": target}
    given = {"split": split_column, "group": group_column, "domain": domain_column}
    rows = _Rows(found, table, delimiter, columns | {key: name for key, name in given.items() if name is not None})
    lines = rows.read(task)
    if split_column is None:
        lines = [line | {"split": hashed_split(seed, line["group"], val_fraction, test_fraction)} for line in lines]
    class_map, translation = _classes(task, lines, classes, void, official_splits=split_column is not None)
    number_of = {name: number for number, name in enumerate(class_map.names)}
    entries = [_entry(line, found, task, number_of) for line in lines]
    problems = sorted(found.problems) + rows.problems
    if not problems and split_column is None:
        check_not_empty(entries, ["train", "val"] + ["test"] * (test_fraction > 0))
    return Listing(class_map, entries, FileReader(str(root)), translation, problems)


@dataclass
class _Rows:
    """The lines of a table, by what the columns mean; what cannot be used is in `problems`."""

    found: Found
    table: str
    delimiter: str
    columns: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def read(self, task: str) -> list[dict[str, str]]:
        """Lines with `image` and `target` (ids of files, or a label; "" where there is none), split, group, domain."""
        lines: dict[str, dict[str, str]] = {}
        for number, row in self._rows():
            line = {key: (row[name] or "").strip() for key, name in self.columns.items()}
            line["image"] = _id(line["image"])
            line["split"] = SPLIT_OF_WORD.get(line.get("split", "train").lower(), line.get("split", ""))
            if line["split"] == "unlabelled":
                line["target"] = ""
            if task == "segmentation" and line["target"]:
                line["target"] = _id(line["target"])
            line["domain"] = line.get("domain") or "unspecified"
            problems = self._problems(line, task)
            if line["image"] in lines:
                problems.append(f"{line['image']} is listed twice")
            self.problems += [f"{self.table} line {number}: {problem}" for problem in problems]
            if not problems:
                line["group"] = line.get("group") or line["image"]
                lines[line["image"]] = line
        return [*lines.values()]

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        if self.table not in self.found.paths:
            raise GraftError(
                f"csv expects the table {self.table} here; {self.found.in_words()}",
                where=self.found.root,
                rule="paths in the table are below ingest.root, and the table is, too",
                remedy="set ingest.source.table, or ingest.root",
            )
        path = self.found.root / self.found.paths[self.table]
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = tables.DictReader(file, delimiter=self.delimiter, restval="")
                self._check_columns(list(reader.fieldnames or []))
                yield from ((reader.line_num, row) for row in reader)
        except (OSError, UnicodeError, tables.Error) as error:
            raise GraftError(
                f"the table cannot be read ({error})", where=path, remedy="save it as CSV in UTF-8"
            ) from None

    def _check_columns(self, there: list[str]) -> None:
        missing = [repr(name) for name in self.columns.values() if name not in there]
        if missing:
            raise GraftError(
                f"the table has no column {' and no column '.join(missing)}; it has {', '.join(map(repr, there))}",
                where=self.table,
                rule=f"columns are separated by {self.delimiter!r} and named in the first line",
                remedy="set delimiter and the …_column options of ingest.source",
            )

    def _problems(self, line: Mapping[str, str], task: str) -> list[str]:
        problems = []
        files = [line["image"], *([line["target"]] if task == "segmentation" and line["target"] else [])]
        problems += [f"{id} is not there" for id in files if id not in self.found.paths] + self.found.refusals(files)
        if not line["target"] and line["split"] != "unlabelled":
            problems.append(f"{line['image']} has no {'mask' if task == 'segmentation' else 'label'}")
        if line["split"] not in SPLIT_OF_WORD.values():
            problems.append(f"{line['split']!r} is no split: train, val, test or unlabelled")
        if "group" in line and not line["group"]:
            problems.append(f"{line['image']} has no {self.columns['group']}")
        return problems


def _id(cell: str) -> str:
    return posixpath.normpath(id_of(cell))


def _classes(
    task: str, lines: list[dict[str, str]], classes: Classes | None, void: list[Value], *, official_splits: bool
) -> tuple[ClassMap, Translation | None]:
    if task == "segmentation":
        if classes is None:
            raise GraftError(
                "csv has masks, and nothing says what their values mean",
                where="ingest.source.classes",
                remedy="give each class its values, as in classes: {background: [0], defect: [255]}",
            )
        translation = translation_of(classes, void)
        return class_map_of(classes, translation, source="csv", official_splits=official_splits), translation
    labels = {line["target"] for line in lines if line["target"]}
    if len(labels) < 2 and lines:
        raise GraftError(
            f"csv finds {len(labels)} labels ({', '.join(labels) or 'none'})",
            where="ingest.source.label_column",
            rule="a classifier tells two classes or more apart",
        )
    are_numbers = all(label.isdecimal() for label in labels)
    names = tuple(sorted(labels, key=lambda label: (int(label), label) if are_numbers else (0, label)))
    colours = distinct_colours(len(names))
    return ClassMap("classification", names, colours, names, official_splits, False, "csv"), None


def _entry(line: Mapping[str, str], found: Found, task: str, number_of: Mapping[str, int]) -> Entry:
    mask = label = None
    if task == "segmentation" and line["target"]:
        mask = found.paths[line["target"]]
    elif line["target"]:
        label = number_of[line["target"]]
    return Entry(line["image"], line["split"], line["domain"], line["group"], found.paths[line["image"]], mask, label)
