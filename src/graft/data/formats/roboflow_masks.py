"""Roboflow's export "Semantic Segmentation Masks": images, `NAME_mask.png` beside them, and `_classes.csv`."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from graft.data.formats.class_values import Classes, Value
from graft.data.formats.files import Found, find_files
from graft.data.formats.given_splits import Splits
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.mask_folder import mask_folder
from graft.data.formats.split_names import split_named
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError, suggest

CLASSES_FILE, HEADER = "_classes.csv", ["pixel value", "class"]
IMAGES, MASKS = "**/*.{jpg,jpeg,png}", "{dir}/{stem}_mask.png"
# Roboflow writes road1.jpg as road1_jpg.rf.<digest>.jpg, and each augmented version of it with another digest.
BEFORE_DIGEST = r"([^/]+?)(?:\.rf\.[^/.]+)?\.[^/.]+$"


def roboflow_masks(
    task: str,
    seed: int,
    root: Path,
    *,
    void: list[str] = [],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    splits: Splits | None = None,
) -> Listing:
    """Images and masks as Roboflow exports them as "Semantic Segmentation Masks", classes as `_classes.csv` says.

    For segmentation. `NAME_mask.png` holds the values that `_classes.csv` of its folder names. Splits are `train`,
    `valid` and `test`; what they leave open is a hash of (split seed, image), where the augmented versions that
    Roboflow made of one image are one. Pictures in a folder beside these that holds no mask are left aside. Of its
    other exports, `yolo` and `coco` are the sources.

    docs.roboflow.com, "Export a Dataset Version".

    Args:
        void: Names of classes whose pixels are ignored.
        val_fraction: Share of the images that go to val, where no folder says it.
        test_fraction: Share of the images that go to test, where neither val nor test is given; 0 makes no test split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "roboflow_masks")
    found = find_files(root)
    value_of = _classes(found)
    if strange := [name for name in void if name not in value_of]:
        raise GraftError(
            f"no class is called {', '.join(strange)}",
            where="ingest.source.void",
            remedy=suggest(strange[0], value_of),
        )
    bare = _without_masks(found)
    classes: Classes = {name: [value] for name, value in value_of.items() if name not in void}
    ignored: list[Value] = [value_of[name] for name in void]
    listing = mask_folder(
        task,
        seed,
        root,
        images=_images(found, bare),
        masks=MASKS,
        classes=classes,
        void=ignored,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        group_pattern=BEFORE_DIGEST,
        splits=splits,
    )
    aside = [f"the pictures in {', '.join(bare)}, which holds neither masks nor {CLASSES_FILE}"] if bare else []
    class_map = replace(listing.class_map, source="roboflow_masks")
    return replace(listing, class_map=class_map, notes=[*listing.notes, *aside])


def _without_masks(found: Found) -> list[str]:
    """The folders, right below the root, of pictures drawn for people: no masks, no classes, and no name of a split."""
    folders: dict[str, bool] = {}
    for id in filter(is_picture, found.paths):
        if "/" in id:
            top = id.split("/")[0]
            folders[top] = folders.get(top, False) or posixpath.splitext(id)[0].endswith("_mask")
    listed = {id.split("/")[0] for id in found.paths if posixpath.basename(id) == CLASSES_FILE}
    return sorted(name for name, has in folders.items() if not has and name not in listed and split_named(name) is None)


def _images(found: Found, bare: Sequence[str]) -> str:
    """The pattern of the images: of all folders, or of those that are not bare."""
    if not bare:
        return IMAGES
    tops = sorted({id.split("/")[0] for id in found.paths if "/" in id} - set(bare))
    return f"{{{','.join(['*', *(f'{top}/**/*' for top in tops)])}}}.{{jpg,jpeg,png}}"


def is_class_list(text: str) -> bool:
    """Whether a `_classes.csv` names the values of masks, and not the columns of labels."""
    lines = text.splitlines()
    return bool(lines) and [cell.strip().lower() for cell in lines[0].split(",")] == HEADER


def _classes(found: Found) -> dict[str, int]:
    """Each class and its value, as all files of classes say it alike.

    Raises:
        GraftError: There is none, they differ, or hold other lines; lists all.
    """
    files = sorted(id for id in found.paths if posixpath.basename(id) == CLASSES_FILE)
    if not files:
        raise GraftError(
            f"roboflow_masks expects {CLASSES_FILE} beside the images of train, valid and test; {found.in_words()}",
            where=found.root,
            rule='the layout is that of the export "Semantic Segmentation Masks"',
            remedy="set ingest.root to the folder that holds train",
        )
    problems = [*found.refusals(files)]
    read = {id: _of_file(found, id, problems) for id in files if id not in found.refused}
    first = next(iter(read.values()), {})
    for id, classes in read.items():
        if classes and first and classes != first:
            told = ", ".join(f"{value} {name}" for name, value in classes.items())
            problems.append(f"{id}: it names {told}, and {files[0]} other classes or values")
    if problems:
        raise GraftError.of_all("the classes of Roboflow cannot be used", problems)
    return first


def _of_file(found: Found, id: str, problems: list[str]) -> dict[str, int]:
    """The classes of one file; what is wrong with it is added to the problems."""
    try:
        text = (found.root / found.paths[id]).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        problems.append(f"{id}: cannot be read ({error})")
        return {}
    if not is_class_list(text):
        problems.append(f"{id}: its first line is not Pixel Value, Class; of labels for whole images csv is the source")
        return {}
    classes: dict[str, int] = {}
    for number, row in enumerate(csv.reader(text.splitlines()[1:]), start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != 2 or not cells[0].isdecimal() or int(cells[0]) > 255 or not cells[1]:
            problems.append(f"{id} line {number}: expected a value of 0 to 255 and a class, found {','.join(row)!r}")
        elif cells[1] in classes or int(cells[0]) in classes.values():
            problems.append(f"{id} line {number}: {cells[0]} or {cells[1]} stands there twice")
        else:
            classes[cells[1]] = int(cells[0])
    return classes
