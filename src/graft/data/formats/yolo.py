"""Ultralytics YOLO: `data.yaml` with the names of the classes, and a text file of polygons for each image."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.drawn_listing import Drawing, Drawings, DrawnOptions, list_drawn, visible
from graft.data.formats.drawn.painters import paint_as_ultralytics
from graft.data.formats.drawn.yolo_files import label_file_of, read_names, read_polygons, shapes_of
from graft.data.formats.files import Found, find_files
from graft.data.formats.given_splits import Splits, is_list
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_picture


def yolo(
    task: str,
    seed: int,
    root: Path,
    *,
    classes: ClassLabels | None = None,
    background: str | None = "background",
    void: list[str] = [],  # noqa: B006  options are read, never changed
    missing: Literal["refuse", "background"] = "refuse",
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Images with polygons in the text files of Ultralytics, as Roboflow, CVAT and Label Studio export them, too.

    For segmentation. Polygons are painted as Ultralytics paints them to train on: corners are cut to whole pixels, and
    where polygons overlap the smallest is on top. An image's labels lie in the folder `labels` beside its folder
    `images`, or beside it. Splits are the folders that `data.yaml` names, or else those of folders and lists, and what
    they leave open is a hash of (split seed, group). Images in folders named `unlabelled` need no labels. Of the
    folders that Ultralytics classifies from, a folder for each class, `image_folder` is the source.

    docs.ultralytics.com, "Instance Segmentation Datasets Overview".

    Args:
        classes: Names that are classes, in this order, or each class and its names, as in {car: [car, van]}; null
            takes the names of data.yaml, in its order.
        background: Name of class 0, every pixel of no polygon; null ignores those pixels, and leaves aside images
            without any polygon.
        void: Names whose pixels are ignored.
        missing: An image without a text file is refused, or shows nothing but background, as in Ultralytics.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "yolo")
    everything = find_files(root)
    found = visible(everything, splits)
    names, folders = read_names(found)
    labels = [name for name in names.values() if name not in void] if classes is None else classes
    options = DrawnOptions(labels, background, void, val_fraction, test_fraction, group_pattern, splits)
    drawings = _drawings(found, names, folders, missing)
    return list_drawn("yolo", task, seed, everything, drawings, options, shapes_of, paint_as_ultralytics)


def _drawings(found: Found, names: Mapping[int, str], folders: Mapping[str, Sequence[str]], missing: str) -> Drawings:
    """Reads the label file of each image."""
    drawings = Drawings()
    used: dict[str, str] = {}
    for id in sorted(found.paths):
        if not is_picture(id):
            continue
        file, split = found.place_of(label_file_of(id)), _split_of(id, folders)
        if (other := used.setdefault(file, id)) != id and file in found.paths:
            drawings.problems.append(f"{file}: {other} and {id} share it; tell them apart by their names")
        elif file in found.paths:
            _add(drawings, id, found, file, (names, split))
        elif missing == "background":
            drawings.of_image[id] = Drawing(file, None, split=split)
    drawings.problems += [f"{file}: labels without image" for file in _label_files(found) if file not in used]
    return drawings


def _add(drawings: Drawings, image: str, found: Found, file: str, known: tuple[Mapping[int, str], str | None]) -> None:
    names, split = known
    try:
        numbers = [number for number, _ in read_polygons(found.root / found.paths[file])]
    except (OSError, ValueError) as error:
        drawings.problems.append(f"{file}: {error}")
        drawings.spoiled.add(image)
        return
    if strange := sorted(set(numbers) - set(names)):
        drawings.problems.append(f"{file}: class {strange[0]} has no name in data.yaml, which names {len(names)}")
        drawings.spoiled.add(image)
        return
    labels = tuple(names[number] for number in numbers)
    drawings.of_image[image] = Drawing(found.paths[file], None, labels, split=split)


def _split_of(image: str, folders: Mapping[str, Sequence[str]]) -> str | None:
    named = (split for split, places in folders.items() for place in places if image.startswith(f"{place}/"))
    return next(named, None)


def _label_files(found: Found) -> list[str]:
    """The text files in folders named `labels`; lists of images lie elsewhere."""
    texts = (id for id in found.paths if id.lower().endswith(".txt") and not is_list(id))
    return sorted(id for id in texts if "labels" in posixpath.dirname(id).split("/"))
