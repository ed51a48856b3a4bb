"""labelme: a JSON file beside each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, coco_source, drawn_classes
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

FORMAT_VERSION = "5.5.0"  # of labelme itself; it reads files of any version from 4.0 on
LABELS = "labels.txt"
IGNORED = "__ignore__"  # labelme2coco.py wants it in the first line


def labelme(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons for segmentation, for classification a flag of the image; `labels.txt` names the classes.

    github.com/wkentaro/labelme. Masks come back by its script labelme2coco.py, in a form that the source `coco` reads.
    That script takes polygons alone, and so masks are not handed over pixel by pixel.
    """
    is_segmentation = classes.task == "segmentation"
    for image in images:
        content = {
            "version": FORMAT_VERSION,
            "flags": {} if is_segmentation else {name: name == image.label for name in classes.names},
            "shapes": [_shape(classes.names[one.class_id], one.corners.tolist()) for one in image.outlines],
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
    if is_segmentation:
        returning = f"labelme2coco.py {IMAGES} FOLDER --labels {LABELS} (labelme's own script)"
        return Handover(opening, returning, coco_source(classes))
    return Handover(opening, "write image and flag of each file into a table", {"name": "csv", "table": "labels.csv"})


def _shape(label: str, points: list[list[float]]) -> dict[str, object]:
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
