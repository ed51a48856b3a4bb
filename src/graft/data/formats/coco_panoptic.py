"""COCO's panoptic annotations: `panoptic_train2017.json`, and a PNG for each image whose colours are its segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graft.data.formats.coco_files import annotation_files
from graft.data.formats.coco_listing import CocoOptions, list_coco
from graft.data.formats.coco_segments import PanopticReader, read_segments
from graft.data.formats.files import find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.translation import VOID


def coco_panoptic(
    task: str,
    seed: int,
    root: Path,
    *,
    categories: list[str] | None = None,
    background: str | None = None,
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
) -> Listing:
    """Photographs in which every pixel belongs to a thing or to stuff: 80 kinds of things, 53 of stuff.

    For scenes as a whole, where the instances of `coco` leave most pixels without a name, and for whatever is annotated
    in the same format. A file of segments for each of train, val and perhaps test, with `panoptic` in its name; its PNG
    files lie in the folder of the same name, beside it, or wherever their path ends so. A pixel of the colour (R, G, B)
    is of segment R + 256 G + 65536 B, and that of its category; segment 0 is what nobody labelled, and ignored.
    Segments of a mask that the file does not list are an error. Memory holds 24 bytes a segment. Splits are made as in
    `coco`.

    Kirillov et al. 2019, "Panoptic Segmentation"; cocodataset.org/#format-data, panoptic segmentation.

    Args:
        categories: Names of the categories that become classes, in this order; null takes all that are annotated, in
            order of their ids in the file for train.
        background: Name of class 0, every segment of no chosen category; null ignores those, and leaves aside images
            without any other.
        test_from: Where no file is for test. `val`: the official val is test, held-out training images are val.
            `train`: held-out training images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out; of a single file, once for val and once for
            test.
    """
    check_task(task, "segmentation", "coco_panoptic")
    found = find_files(root)
    files = annotation_files(found, panoptic=True)
    read = {split: read_segments(found, file) for split, file in files.items()}
    masks = {image.mask for one in read.values() for image in one.images if image.mask is not None}
    images = replace(found, paths={id: path for id, path in found.paths.items() if path not in masks})
    reader = PanopticReader(str(root), VOID if background is None else 0)
    options = CocoOptions(categories, background, test_from, held_out_fraction)
    listing = list_coco("coco_panoptic", seed, images, files, read, options, reader)
    return replace(listing, not_images=masks)
