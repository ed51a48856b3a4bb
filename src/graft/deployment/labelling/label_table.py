"""A table of images and proposed labels, for a spreadsheet."""

from __future__ import annotations

import csv as tables
from collections.abc import Sequence
from pathlib import Path

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover
from graft.foundation.class_map import ClassMap

TABLE = "labels.csv"


def csv(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """`labels.csv`, whose column `label` a person corrects; the source `csv` reads it as it is."""
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = tables.writer(file, lineterminator="\n")
        writer.writerow(["image", "label"])
        writer.writerows((IMAGES / image.name, image.label) for image in images)
    return Handover(
        f"correct the column label of {TABLE} in any spreadsheet", "save it", {"name": "csv", "table": TABLE}
    )
