"""Images for people to label: which are worth it, what a model proposes for them, and the tools that read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from graft.deployment.labelling.coco_file import coco
from graft.deployment.labelling.cvat import cvat
from graft.deployment.labelling.handover import DrawnImage, Handover
from graft.deployment.labelling.label_table import csv
from graft.deployment.labelling.labelme import labelme
from graft.foundation.class_map import ClassMap

# Writes, into the folder whose `images/` hold these images, what the tool reads.
Tool = Callable[[Path, Sequence[DrawnImage], ClassMap], Handover]

POLYGONS, MASKS = "polygons", "masks"  # forms of a proposed mask

# By task; the first is taken where none is asked for.
TOOLS: dict[str, dict[str, Tool]] = {
    "segmentation": {"labelme": labelme, "cvat": cvat, "coco": coco},
    "classification": {"csv": csv, "labelme": labelme, "cvat": cvat},
}
