"""COCO: one JSON file, which most labelling tools read, and Graft itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, coco_source, drawn_classes
from graft.deployment.labelling.outlines import Outline
from graft.deployment.labelling.regions import Region, encode_runs
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

ANNOTATIONS = "annotations/instances_default.json"  # as CVAT calls it


def coco(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons, or run lengths of masks, in `annotations/instances_default.json`.

    cocodataset.org/#format-data, "object detection". The folder is one that the source `coco` reads as it is.
    """
    number_of = {id: number for number, id in enumerate(drawn_classes(classes), 1)}
    found = [
        (number, one.class_id, said) for number, image in enumerate(images, 1) for one, said in _annotations(image)
    ]
    content = {
        "images": [
            {"id": number, "file_name": image.name, "height": image.height, "width": image.width}
            for number, image in enumerate(images, 1)
        ],
        "annotations": [
            {"id": id, "image_id": number, "category_id": number_of[class_id], "iscrowd": 0, **said}
            for id, (number, class_id, said) in enumerate(found, 1)
        ],
        "categories": [
            {"id": number, "name": classes.names[id], "supercategory": ""} for id, number in number_of.items()
        ],
    }
    (folder / ANNOTATIONS).parent.mkdir(parents=True)
    write_json(folder / ANNOTATIONS, content)
    opening = f"import {ANNOTATIONS} as COCO, with the images in {IMAGES}"
    return Handover(opening, f"export as COCO, in the place of {ANNOTATIONS}", coco_source(classes))


def _annotations(image: DrawnImage) -> Iterator[tuple[Outline | Region, dict[str, object]]]:
    yield from ((one, _polygon(one)) for one in image.outlines)
    yield from ((one, _run_lengths(one, image.height, image.width)) for one in image.regions)


def _run_lengths(region: Region, height: int, width: int) -> dict[str, object]:
    (num_rows, num_columns), down_the_columns = region.pixels.shape, region.on(height, width).T
    return {
        "segmentation": {"size": [height, width], "counts": encode_runs(down_the_columns)},
        "area": float(region.pixels.sum()),
        "bbox": [float(value) for value in (region.left, region.top, num_columns, num_rows)],
    }


def _polygon(outline: Outline) -> dict[str, object]:
    points = outline.corners
    left, top = points.min(axis=0)
    width, height = points.max(axis=0) - (left, top)
    return {
        "segmentation": [points.ravel().tolist()],
        "area": float(cv2.contourArea(points.astype(np.float32))),  # a slit runs both ways and so adds nothing
        "bbox": [round(float(value), 2) for value in (left, top, width, height)],
    }
