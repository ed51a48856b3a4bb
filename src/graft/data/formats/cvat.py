"""CVAT: one XML file for all images ("CVAT for images 1.1"), with shapes, or tags of the images."""

from __future__ import annotations

import posixpath
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.cvat_file import count_without_area, drawing_of, images_of, shapes_of
from graft.data.formats.drawn.drawn_listing import Drawings, DrawnOptions, list_drawn, visible, without_area_in_words
from graft.data.formats.drawn.painters import paint_as_cvat
from graft.data.formats.files import Found, by_end, ends_of, find_files, id_of
from graft.data.formats.given_splits import Splits
from graft.data.formats.listing import Listing
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError


def cvat(
    task: str,
    seed: int,
    root: Path,
    *,
    classes: ClassLabels | None = None,
    background: str | None = "background",
    void: list[str] = [],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Images that were annotated in CVAT and exported as "CVAT for images 1.1", with their images.

    For segmentation polygons, boxes, ellipses and brush masks are painted from the lowest z_order to the highest, as
    CVAT's own export of masks paints them; polylines and points cover nothing and are counted. For classification the
    tag of an image is its label; for multilabel all its tags are, and an image without any has none of the classes.
    Splits are the subsets of a project's export, or else those of folders and lists, and what they leave open is a hash
    of (split seed, group). Images in folders named `unlabelled` need no annotation.

    docs.cvat.ai, "XML annotation format", version 1.1.

    Args:
        classes: Labels that are classes, in this order, or each class and its labels, as in {car: [car, van]}; null
            makes each label a class, in order of their names.
        background: Name of class 0, every pixel of no shape; null ignores those pixels, and leaves aside images
            without any shape. Not for classification.
        void: Labels whose pixels are ignored.
        val_fraction: Share of the groups that go to val, where no subset, folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    options = DrawnOptions(classes, background, void, val_fraction, test_fraction, group_pattern, splits)
    everything = find_files(root)
    drawings = _drawings(visible(everything, splits))
    return list_drawn("cvat", task, seed, everything, drawings, options, shapes_of, paint_as_cvat)


def _drawings(found: Found) -> Drawings:
    """Reads what the XML files below the root say of each image.

    Raises:
        GraftError: There is none, or one is not CVAT's.
    """
    files = [id for id in sorted(found.paths) if id.lower().endswith(".xml") and id not in found.refused]
    if not files:
        raise GraftError(
            f"cvat expects annotations.xml and the images; {found.in_words()}",
            where=found.root,
            remedy="export the task as CVAT for images 1.1 with its images, and unpack it below ingest.root",
        )
    drawings, ends = Drawings(), by_end((id for id in found.paths if is_picture(id)), bare=False)
    without_area: Counter[str] = Counter()
    for file in files:
        for image in images_of(found.root / found.paths[file], file):
            without_area += count_without_area(image)
            name = id_of(image.attrib.get("name", "").replace("\\", "/"))
            id = _image_of(name, image.attrib.get("subset", ""), posixpath.dirname(file), ends)
            if id is None:
                drawings.problems.append(f"{file}: its image {name!r} is not there, or several end so")
            elif id in drawings.of_image:
                drawings.problems.append(f"{file}: {id} is annotated twice (also in {drawings.of_image[id].file})")
            else:
                _add(drawings, id, image, found.paths[file])
    drawings.notes += without_area_in_words(without_area)
    return drawings


def _add(drawings: Drawings, id: str, image: Element, file: str) -> None:
    try:
        drawings.of_image[id] = drawing_of(image, file)
    except ValueError as error:
        drawings.problems.append(f"{file}: {id}: {error}")
        drawings.spoiled.add(id)


def _image_of(name: str, subset: str, folder: str, ends: dict[str, list[str]]) -> str | None:
    """The image of this name: where CVAT puts it beside the file, or else the only one that ends so."""
    named = ends.get(name, [])
    for place in (f"images/{subset}/{name}", f"images/{name}", name):
        if (id := posixpath.normpath(posixpath.join(folder, place))) in named:
            return id
    return next((ids[0] for end in ends_of(name) if len(ids := ends.get(end, [])) == 1), None)
