"""COCO: one JSON file, which most labelling tools read, and Graft itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, coco_source, drawn_classes
from graft.deployment.labelling.outlines import Outline
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

ANNOTATIONS = "annotations/instances_default.json"  # as CVAT calls it


def coco(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons in `annotations/instances_default.json`.

    cocodataset.org/#format-data, "object detection". The folder is one that the source `coco` reads as it is.
    """
    number_of = {id: number for number, id in enumerate(drawn_classes(classes), 1)}
    outlines = [(number, one) for number, image in enumerate(images, 1) for one in image.outlines]
    content = {
        "images": [
            {"id": number, "file_name": image.name, "height": image.height, "width": image.width}
            for number, image in enumerate(images, 1)
        ],
        "annotations": [
            {"id": id, "image_id": number, "category_id": number_of[one.class_id], "iscrowd": 0, **_region(one)}
            for id, (number, one) in enumerate(outlines, 1)
        ],
        "categories": [{"id": number, "name": classes.names[id]} for id, number in number_of.items()],
    }
    (folder / ANNOTATIONS).parent.mkdir(parents=True)
    write_json(folder / ANNOTATIONS, content)
    opening = f"import {ANNOTATIONS} as COCO, with the images in {IMAGES}"
    return Handover(opening, f"export as COCO, in the place of {ANNOTATIONS}", coco_source(classes))


def _region(outline: Outline) -> dict[str, object]:
    points = outline.points.round(2)
    left, top = points.min(axis=0)
    width, height = points.max(axis=0) - (left, top)
    return {
        "segmentation": [points.ravel().tolist()],
        "area": float(cv2.contourArea(points.astype(np.float32))),  # a slit runs both ways and so adds nothing
        "bbox": [round(float(value), 2) for value in (left, top, width, height)],
    }
