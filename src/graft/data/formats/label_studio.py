"""Label Studio: a JSON export of tasks, with polygons, ellipses, rectangles and brush strokes, or choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.drawn_listing import Drawings, DrawnOptions, list_drawn, visible, without_area_in_words
from graft.data.formats.drawn.label_studio_file import (
    Annotators,
    chosen_annotation,
    count_without_area,
    drawing_of,
    is_export,
    shapes_of,
    tasks_of,
)
from graft.data.formats.drawn.label_studio_images import ShownImages
from graft.data.formats.drawn.painters import paint_as_cvat
from graft.data.formats.files import Found, find_files
from graft.data.formats.given_splits import Splits
from graft.data.formats.listing import Listing
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError


def label_studio(
    task: str,
    seed: int,
    root: Path,
    *,
    annotator: Annotators | None = None,
    control: str | None = None,
    classes: ClassLabels | None = None,
    background: str | None = "background",
    void: list[str] = [],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Images that were annotated in Label Studio and exported as JSON, beside the images themselves.

    For segmentation polygons, rectangles, ellipses and brush strokes are painted in the order in which they were drawn,
    by pycocotools as in its COCO export: corners are points between pixels, and a brush covers what is not transparent.
    Key points cover nothing and are counted. For classification the choice that was made for an image is its label. The
    export holds no images: put them below the root; they are found by the end of their address, with or without what
    an upload puts before the name. Splits are made as in `mask_folder`. Cancelled annotations and predictions do not
    count, and images in folders named `unlabelled` need no task.

    labelstud.io/guide/export, JSON of release 0.9 and later.

    Args:
        annotator: Id or e-mail address of whose annotations count, or several, of whom the first who annotated an image
            counts; null takes the only annotation of an image, or the only one marked as ground truth.
        control: Name of the control in the labelling setup whose labels or choices count; null takes those of all.
        classes: Labels that are classes, in this order, or each class and its labels, as in {car: [car, van]}; null
            makes each label a class, in order of their names.
        background: Name of class 0, every pixel of no region; null ignores those pixels, and leaves aside images
            without any region. Not for classification.
        void: Labels whose pixels are ignored.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    options = DrawnOptions(classes, background, void, val_fraction, test_fraction, group_pattern, splits)
    everything = find_files(root)
    drawings = _drawings(visible(everything, splits), annotator, control)
    return list_drawn("label_studio", task, seed, everything, drawings, options, shapes_of, paint_as_cvat)


def _drawings(found: Found, annotator: Annotators | None, control: str | None) -> Drawings:
    """Reads what the exports below the root say of each image.

    Raises:
        GraftError: There is none, or one is cut off.
    """
    drawings, images, without_area = Drawings(), ShownImages(filter(is_picture, found.paths)), Counter[str]()
    num_tasks = 0
    for file in sorted(found.paths):
        path = found.root / found.paths[file]
        if not file.lower().endswith(".json") or file in found.refused or not is_export(path):
            continue
        for task in tasks_of(path, file):
            num_tasks += 1
            try:
                without_area += _add(drawings, images.of_task(task), task, (found.paths[file], annotator, control))
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                drawings.problems.append(f"{file}: task {task.get('id')}: {what}")
    if not num_tasks:
        raise GraftError(
            f"label_studio expects a JSON export and the images; {found.in_words()}",
            where=found.root,
            remedy="export the project as JSON, and put the file and the images below ingest.root",
        )
    drawings.notes += without_area_in_words(without_area)
    return drawings


def _add(
    drawings: Drawings, id: str, task: Mapping[str, Any], asked: tuple[str, Annotators | None, str | None]
) -> Counter[str]:
    """Adds the drawing of an image, if the task has an annotation that counts, and counts what covers no pixel."""
    file, annotator, control = asked
    try:
        annotation = chosen_annotation(task, annotator)
        if annotation is None:
            return Counter()
        if id in drawings.of_image:
            raise ValueError(f"{id} is annotated in another task too")
        drawings.of_image[id] = drawing_of(annotation, file, control)
    except (KeyError, TypeError, AttributeError, ValueError):
        drawings.spoiled.add(id)
        raise
    return count_without_area(annotation)
