"""Supervisely: a project folder with `meta.json`, and in each dataset the folders `img` and `ann`."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.drawn_listing import Drawings, DrawnOptions, list_drawn, visible, without_area_in_words
from graft.data.formats.drawn.painters import paint_as_supervisely
from graft.data.formats.drawn.supervisely_files import (
    WITH_AREA,
    ProjectMeta,
    annotation_files,
    count_tags,
    count_without_area,
    drawing_of,
    read_meta,
    read_objects,
    shapes_of,
)
from graft.data.formats.files import Found, by_end, find_files
from graft.data.formats.given_splits import Splits
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.unlabelled_images import is_in_unlabelled_folder, is_picture
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError


def supervisely(
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
    """Images of a Supervisely project, downloaded with its annotations in JSON, as Dataset Ninja offers them, too.

    For segmentation. Bitmaps, polygons with holes and rectangles are painted in their order, as Supervisely's own SDK
    draws them: corners are pixels, those of polygons cut to whole ones, those of rectangles rounded, and a hole takes
    its rim along. Lines, points, graphs and cuboids cover nothing and are counted, and so are tags. Splits are those
    that the tags of all images name, or datasets that are named after splits, or those of lists, and what they leave
    open is a hash of (split seed, group). Pictures outside of folders `img`, as exported masks, are left aside. Images
    in folders named `unlabelled` need no annotation.

    docs.supervisely.com, "Supervisely annotation JSON format", of 2018 and later.

    Args:
        classes: Names that are classes, in this order, or each class and its names, as in {car: [car, van]}; null
            takes the classes of meta.json that may cover pixels, in its order.
        background: Name of class 0, every pixel of no object; null ignores those pixels, and leaves aside images
            without any object.
        void: Names whose pixels are ignored.
        val_fraction: Share of the groups that go to val, where no tag, folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "supervisely")
    everything, aside = _without_pictures_aside(find_files(root))
    found = visible(everything, splits)
    meta = read_meta(found)
    files = [] if meta is None else annotation_files(found, meta)
    if meta is None or not files:
        raise GraftError(
            f"supervisely expects meta.json with the classes, and a folder img and a folder ann in each dataset; "
            f"{everything.in_words()}",
            where=root,
            remedy="set ingest.root to the folder of the project, downloaded as JSON annotations with images",
        )
    labels = [name for name, shape in meta.shapes.items() if shape in WITH_AREA and name not in void]
    options = DrawnOptions(
        labels if classes is None else classes, background, void, val_fraction, test_fraction, group_pattern, splits
    )
    drawings = _drawings(found, meta, files)
    drawings.notes += [f"{counted(len(aside), 'picture')} outside of folders img"] if aside else []
    read = partial(shapes_of, dict(meta.shapes))
    listing = list_drawn("supervisely", task, seed, everything, drawings, options, read, paint_as_supervisely)
    return replace(listing, not_images=aside)


def _without_pictures_aside(everything: Found) -> tuple[Found, list[str]]:
    """The files but those pictures that lie in no folder `img` and in none for unlabelled ones, and their paths."""

    def is_kept(id: str) -> bool:
        return not is_picture(id) or posixpath.basename(posixpath.dirname(id)) == "img" or is_in_unlabelled_folder(id)

    paths = {id: path for id, path in everything.paths.items() if is_kept(id)}
    return replace(everything, paths=paths), [path for id, path in everything.paths.items() if id not in paths]


def _drawings(found: Found, meta: ProjectMeta, files: list[str]) -> Drawings:
    """Reads the annotation file of each image."""
    drawings, without_area, num_tags = Drawings(), Counter[str](), 0
    named = by_end(id for id in found.paths if is_picture(id))
    for file in files:
        dataset, name = posixpath.dirname(posixpath.dirname(file)), posixpath.basename(file).removesuffix(".json")
        place = posixpath.join(dataset, "img", name)
        ids = [place] if place in found.paths else [id for id in named.get(place, []) if id.startswith(f"{place}.")]
        if len(ids) != 1:
            drawings.problems.append(f"{file}: its image {place} is not there, or several are")
            continue
        if ids[0] in drawings.of_image:
            drawings.problems.append(f"{file}: {ids[0]} is annotated in {drawings.of_image[ids[0]].file} too")
            continue
        try:
            content = read_objects(found.root / found.paths[file])
            drawings.of_image[ids[0]] = drawing_of(content, found.paths[file], meta)
            without_area += count_without_area(content, meta.shapes)
            num_tags += count_tags(content)
        except (OSError, ValueError) as error:
            drawings.problems.append(f"{file}: {error}")
            drawings.spoiled.add(ids[0])
    drawings.notes += without_area_in_words(without_area)
    drawings.notes += [f"tags that name no split: {num_tags}"] if num_tags else []
    return drawings
