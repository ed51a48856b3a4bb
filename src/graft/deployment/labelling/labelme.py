"""labelme: a JSON file beside each image."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from graft.data.images.codec import encode_png
from graft.deployment.labelling.handover import (
    IMAGES,
    DrawnImage,
    Handover,
    background_of,
    coco_source,
    drawn_classes,
)
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

FORMAT_VERSION = "5.5.0"  # of labelme itself; it reads files of any version from 4.0 on
LABELS = "labels.txt"
IGNORED = "__ignore__"  # labelme2coco.py wants it in the first line


def labelme(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons or masks for segmentation, for classification a flag of the image; `labels.txt` names the classes.

    github.com/wkentaro/labelme. Flags and masks are read by the source `labelme` as they are. Polygons come back by
    its script labelme2coco.py and the source `coco`: labelme's own painting takes a corner for a pixel, and would give
    each region one more row and column than was predicted.
    """
    is_segmentation = classes.task == "segmentation"
    for image in images:
        content = {
            "version": FORMAT_VERSION,
            "flags": {} if is_segmentation else {name: name == image.label for name in classes.names},
            "shapes": [*_polygons(image, classes), *_masks(image, classes)],
            "imagePath": Path(image.name).name,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        write_json((folder / IMAGES / image.name).with_suffix(".json"), content)
    names = [*([IGNORED] if is_segmentation else []), *(classes.names[id] for id in drawn_classes(classes))]
    (folder / LABELS).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    option = "--labels" if is_segmentation else "--flags"
    opening = f"labelme {IMAGES} {option} {LABELS} --nodata --autosave"
    source = {"name": "labelme", "classes": [classes.names[id] for id in drawn_classes(classes)]}
    as_it_is = "the source labelme reads the folder as it is"
    if not is_segmentation:
        return Handover(opening, as_it_is, source)
    if any(image.regions for image in images):
        return Handover(opening, as_it_is, source | {"background": background_of(classes)})
    returning = f"labelme2coco.py {IMAGES} FOLDER --labels {LABELS} (labelme's own script)"
    return Handover(opening, returning, coco_source(classes))


def _polygons(image: DrawnImage, classes: ClassMap) -> Iterator[dict[str, object]]:
    for one in image.outlines:
        yield _shape(classes.names[one.class_id], one.corners.tolist(), "polygon")


def _masks(image: DrawnImage, classes: ClassMap) -> Iterator[dict[str, object]]:
    """Masks as labelme keeps them: the left upper and the right lower pixel of a box, and a PNG of it in base64."""
    for one in image.regions:
        height, width = one.pixels.shape
        corners = [[one.left, one.top], [one.left + width - 1, one.top + height - 1]]
        png = base64.b64encode(encode_png(one.pixels.astype(np.uint8) * 255)).decode()
        yield _shape(classes.names[one.class_id], corners, "mask") | {"mask": png}


def _shape(label: str, points: list[list[float]], kind: str) -> dict[str, object]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
