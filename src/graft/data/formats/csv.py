"""A table of paths, with a label or the path of a mask in each line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from graft.data.formats.array_masks import ArrayMaskReader
from graft.data.formats.class_values import Classes, Value, class_map_of, translation_of
from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.given_splits import GivenSplits, Splits, find_splits
from graft.data.formats.label_sets import LabelSets, labels_class_map, warn_of_bare
from graft.data.formats.listing import Entry, Listing, distinct_colours
from graft.data.formats.splits import TestFraction, ValFraction, check_fractions, check_not_empty
from graft.data.formats.table_labels import refuse_strange_labels, warn_of_twins
from graft.data.formats.table_rows import Column, TableRows
from graft.data.formats.translation import Translation
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.errors import GraftError

Delimiter = Annotated[str, Field(min_length=1, max_length=1)]
Labels = Annotated[list[str], Field(min_length=2)]
LabelColumns = Annotated[list[Column], Field(min_length=2)]


def csv(
    task: str,
    seed: int,
    root: Path,
    *,
    table: str = "data.csv",
    delimiter: Delimiter = ",",
    header: bool = True,
    image_column: Column = "image",
    label_column: Column = "label",
    label_columns: LabelColumns | None = None,
    separator: Delimiter = "|",
    mask_column: Column = "mask",
    split_column: Column | None = None,
    group_column: Column | None = None,
    domain_column: Column | None = None,
    classes: Classes | Labels | None = None,
    void: list[Value] = [],  # noqa: B006  options are read, never changed
    mask_key: str | None = None,
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    splits: Splits | None = None,
) -> Listing:
    """A table: in each line the path of an image, and its label or the path of its mask.

    For data whose labels, splits, patients or sites stand in a spreadsheet. A classifier takes the label column, and
    its classes are the labels that occur, in order of number where all are numbers, else of the alphabet;
    segmentation takes the mask column and needs `classes`, as in `mask_folder`. Lines of the split `unlabelled` need
    neither, nor do images in a folder of that name. With task multilabel an image may have any number of labels:
    several values in the label column, or a column of 0 and 1 for each class; one without any has none of the classes.
    A path begins at the root or beside the table, or is the end of the path of one file only, whose ending may be
    missing.

    Args:
        table: Path of the table below the root; text in UTF-8. A glob takes several with the same columns, as
            */metadata.csv.
        delimiter: Character between columns.
        header: Whether the first line names the columns; without one a column is its number, from 1.
        image_column: Name (or number) of the column with the path of the image.
        label_column: Column with the label, or with several; read where the task is not segmentation.
        label_columns: Columns of 0 and 1, one a class, which bear the names of the classes; for classification each
            line has one 1. Null reads the label, or all labels, of an image from `label_column`.
        separator: For multilabel: character between the labels of one cell.
        mask_column: Column with the path of the mask; read for segmentation.
        split_column: Column that says train, val, test or unlabelled; null goes by folders, lists, and a hash.
        group_column: Column of what must not be torn over two splits, as a patient.
        domain_column: Column of where or when an image was taken.
        classes: For masks: class to its values (grey values, ranges "1-254", RGB colours, or `rest`). For labels: the
            list of them, in the order of the classes, which also says that they are meant as they stand.
        void: Mask values that are ignored, in the same notation; here they may be negative, as -9999 of signed samples.
        mask_key: Array that is the mask, where `.npz` or `.mat` hold several.
        val_fraction: Share of the groups that go to val, where nothing says it.
        test_fraction: Share of the groups that go to test, where nothing says it; 0 makes no test split.
        splits: Split to its folder or list, or several, without a split column; null finds them by name, `{}` uses
            none.
    """
    check_fractions(val_fraction, test_fraction)
    found = find_files(root)
    sets = LabelSets(None if task == "segmentation" else label_columns, separator, _listed(classes))
    targets = {"target": mask_column} if task == "segmentation" else sets.table_columns(label_column)
    given = {"split": split_column, "group": group_column, "domain": domain_column}
    columns = {"image": image_column, **targets} | {key: name for key, name in given.items() if name is not None}
    rows = TableRows(found, table, delimiter, columns, header)
    lines, notes, is_official = rows.read(task), rows.notes, split_column is not None
    if split_column is None:
        known = find_splits(found, [line["image"] for line in lines if line["split"] != UNLABELLED], splits)
        lines = _split(lines, known, seed, val_fraction, test_fraction)
        notes, is_official = [*notes, *known.notes], known.are_official
    labels: list[bytes | None] = []
    translation = None
    if task == "segmentation":
        class_map, translation = _of_masks(classes, void, official_splits=is_official)
    elif task == "multilabel":
        names, labels = sets.read(rows, lines)
        class_map = labels_class_map(names, "csv", official_splits=is_official)
    else:
        names = sets.read_single(rows, lines) if label_columns else _single(rows, lines, label_column, classes)
        class_map = _class_map(names, official_splits=is_official)
    number_of = {name: number for number, name in enumerate(class_map.names)}
    own = labels or [None] * len(lines)
    entries = [_entry(line, found, task, number_of, bits) for line, bits in zip(lines, own, strict=True)]
    if split_column is None and not rows.problems:
        check_not_empty(entries, known.needed(test_fraction))
    warnings = [] if task == "segmentation" else warn_of_twins(class_map.names) + warn_of_bare(labels)
    read = ArrayMaskReader(FileReader(str(root)), mask_key)
    return Listing(class_map, entries, read, translation, sorted(found.problems) + rows.problems, notes, warnings)


def _split(
    lines: list[dict[str, str]], known: GivenSplits, seed: int, val_fraction: float, test_fraction: float
) -> list[dict[str, str]]:
    """The lines with their split; those that a list leaves out are left out."""
    given = [line for line in lines if line["split"] == UNLABELLED]
    others = [line for line in lines if line["split"] != UNLABELLED]
    splits = [known.assign(line["image"], line["group"], seed, val_fraction, test_fraction) for line in others]
    kept = [line | {"split": split} for line, split in zip(others, splits, strict=True) if split is not None]
    return kept + given


def _of_masks(
    classes: Classes | Labels | None, void: list[Value], *, official_splits: bool
) -> tuple[ClassMap, Translation]:
    if not isinstance(classes, dict):
        raise GraftError(
            "csv has masks, and nothing says what their values mean",
            where="ingest.source.classes",
            remedy="give each class its values, as in classes: {background: [0], defect: [255]}",
        )
    translation = translation_of(classes, void)
    return class_map_of(classes, translation, source="csv", official_splits=official_splits), translation


def _single(
    rows: TableRows, lines: list[dict[str, str]], column: Column, classes: Classes | Labels | None
) -> tuple[str, ...]:
    """The labels of one column, which are the classes; lines with any other than those listed are taken out."""
    labels = {line["target"] for line in lines if line["target"]}
    if isinstance(classes, list):
        strange = [line for line in lines if line["target"] and line["target"] not in classes]
        rows.problems += [f"{line['image']}: {line['target']!r} is none of the classes" for line in strange]
        lines[:] = [line for line in lines if line not in strange]
        names = tuple(classes)
    else:
        refuse_strange_labels([line["target"] for line in lines if line["target"]], column, rows.cells)
        are_numbers = all(label.isdecimal() for label in labels)
        names = tuple(sorted(labels, key=lambda label: (int(label), label) if are_numbers else (0, label)))
    if len(names) < 2 and lines:
        raise GraftError(
            f"csv finds {len(labels)} labels ({', '.join(labels) or 'none'})",
            where="ingest.source.label_column",
            rule="a classifier tells two classes or more apart",
        )
    return names


def _class_map(names: tuple[str, ...], *, official_splits: bool) -> ClassMap:
    return ClassMap("classification", names, distinct_colours(len(names)), names, official_splits, False, "csv")


def _listed(classes: Classes | Labels | None) -> list[str] | None:
    return classes if isinstance(classes, list) else None


def _entry(
    line: Mapping[str, str], found: Found, task: str, number_of: Mapping[str, int], labels: bytes | None
) -> Entry:
    mask = label = None
    if task == "segmentation" and line["target"]:
        mask = found.paths[line["target"]]
    elif task == "classification" and line["target"]:
        label = number_of[line["target"]]
    image = found.paths[line["image"]]
    return Entry(line["image"], line["split"], line["domain"], line["group"], image, mask, label, labels)
