"""COCO as it is published: `train2017`, `val2017`, and `annotations/instances_train2017.json`, `…_val2017.json`."""

from __future__ import annotations

from pathlib import Path

from graft.data.formats.coco_annotations import NoOutline, read_annotations
from graft.data.formats.coco_files import annotation_files
from graft.data.formats.coco_listing import CocoOptions, list_coco
from graft.data.formats.coco_masks import CocoReader
from graft.data.formats.files import find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.translation import VOID


def coco(
    task: str,
    seed: int,
    root: Path,
    *,
    categories: list[str] | None = None,
    background: str | None = "background",
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
    no_outline: NoOutline = "void",
) -> Listing:
    """Photographs with 80 kinds of objects in context, about 118 000 to train on and 5 000 to validate.

    The largest of the sources, for everyday objects, and for whatever is annotated in its format: a file for each of
    train, val and perhaps test, named after its split or in a folder that is (as Roboflow writes them); or one file
    alone (as CVAT and labelme export it), out of which val and test are held out. Instances become one index mask:
    crowds first, then from the largest to the smallest, so that where regions overlap the smaller is on top; a box
    without outline is ignored. Files are read item by item, masks are painted by every core; memory holds 24 bytes an
    annotation. The labels of the official test are not public; without a file for test the official val is the test
    split by default, and training images held out by hash are val.

    Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; polygons and run lengths as pycocotools reads them.

    Args:
        categories: Names of the categories that become classes, in this order; null takes all that are annotated, in
            order of their ids in the file for train.
        background: Name of class 0, every pixel of no chosen category; null ignores those pixels, and leaves aside
            images without any other.
        test_from: Where no file is for test. `val`: the official val is test, held-out training images are val.
            `train`: held-out training images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out; of a single file, once for val and once for
            test.
        no_outline: Fate of boxes without a segmentation, polygons of fewer than three points, and annotations
            that have neither. `void`: what is in such a box is ignored, such a polygon covers nothing, the rest is an
            error. `leave_aside`: they count as if nobody had written them. `refuse`: all are listed.
    """
    check_task(task, "segmentation", "coco")
    found = find_files(root)
    files = annotation_files(found)
    read = {split: read_annotations(root / found.paths[file], file, no_outline) for split, file in files.items()}
    options = CocoOptions(categories, background, test_from, held_out_fraction)
    return list_coco(
        "coco", seed, found, files, read, options, CocoReader(str(root), VOID if background is None else 0)
    )
