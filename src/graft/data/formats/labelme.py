"""labelme: a JSON file for each image, with polygons and other shapes, or flags of the image."""

from __future__ import annotations

import posixpath
from pathlib import Path

from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.drawn_listing import Drawings, DrawnOptions, list_drawn, visible
from graft.data.formats.drawn.labelme_files import drawing_of, read_labelme, shapes_of
from graft.data.formats.drawn.painters import paint_as_labelme
from graft.data.formats.files import Found, by_end, ends_of, find_files, id_of
from graft.data.formats.given_splits import Splits
from graft.data.formats.listing import Listing
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError


def labelme(
    task: str,
    seed: int,
    root: Path,
    *,
    classes: ClassLabels | None = None,
    background: str | None = "background",
    void: list[str] = ["__ignore__"],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Images that were annotated with labelme: shapes become masks, flags become labels of whole images.

    For segmentation of what you drew yourself, straight from the tool's folder. Shapes are painted in their order and
    as labelme's own scripts paint them: corners are pixels, lines are 10 pixels wide, points are discs of radius 5. For
    classification the flag that is set is the label. An image is found by `imagePath`, or beside its file. Splits are
    made as in `mask_folder`. Images in folders named `unlabelled` need no file.

    github.com/wkentaro/labelme, files of any version up to 6.

    Args:
        classes: Labels that are classes, in this order, or each class and its labels, as in {car: [car, van]}; null
            makes each label a class, in order of their names.
        background: Name of class 0, every pixel of no shape; null ignores those pixels, and leaves aside images
            without any shape. Not for classification.
        void: Labels whose pixels are ignored.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    options = DrawnOptions(classes, background, void, val_fraction, test_fraction, group_pattern, splits)
    everything = find_files(root)
    drawings = _drawings(visible(everything, splits))
    return list_drawn("labelme", task, seed, everything, drawings, options, shapes_of, paint_as_labelme)


def _drawings(found: Found) -> Drawings:
    """Reads what the JSON files below the root say of each image.

    Raises:
        GraftError: None of them is labelme's.
    """
    drawings, images = Drawings(), [id for id in found.paths if is_picture(id)]
    ends, others = by_end(images), []
    for id in sorted(found.paths):
        if not id.lower().endswith(".json") or id in found.refused:
            continue
        try:
            content = read_labelme(found.root / found.paths[id])
            if content is None:
                others.append(id)
                continue
            drawing = drawing_of(content, found.paths[id])
        except (OSError, ValueError) as error:
            drawings.problems.append(f"{id}: {error}")
            continue
        image = _image_of(id, str(content["imagePath"]), found, ends)
        if image is None:
            drawings.problems.append(f"{id}: its image {content['imagePath']} is not there")
        elif image in drawings.of_image:
            drawings.problems.append(f"{id}: {image} is annotated in {drawings.of_image[image].file} too")
        else:
            drawings.of_image[image] = drawing
    if not drawings.of_image and not drawings.problems:
        raise GraftError(
            f"labelme expects a JSON file for each image, with its shapes; {found.in_words()}",
            where=found.root,
            remedy="set ingest.root to the folder that labelme wrote into",
        )
    drawings.notes += [f"{len(others)} JSON files that are not labelme's, as {others[0]}"] if others else []
    return drawings


def _image_of(file: str, named: str, found: Found, ends: dict[str, list[str]]) -> str | None:
    """The image of a file: where `imagePath` says, of the file's own name beside it, or the only one of that name."""
    stem, path = posixpath.splitext(file)[0], id_of(named.replace("\\", "/"))
    place = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
    if place in found.paths:
        return place
    beside = [id for id in ends.get(stem, []) if posixpath.splitext(id)[0] == stem]
    alone = (ids for end in ends_of(path) if len(ids := ends.get(end, [])) == 1)
    return next(iter(beside), None) or next(alone, [None])[0]
