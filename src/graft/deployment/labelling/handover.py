"""Images that are handed to a labelling tool with what a model proposes, and the way back from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.data.images.codec import BACKGROUND
from graft.deployment.labelling.outlines import Outline
from graft.deployment.labelling.regions import Region
from graft.foundation.class_map import ClassMap

IMAGES = Path("images")  # below the folder that is handed over
REFUSED = frozenset('\\/:*?"<>|')  # by Windows
HELD_OUT_FRACTION = 0.15  # for val, as `mask_folder` holds out; COCO's own 0.05 is for a hundred thousand images


@dataclass(frozen=True)
class DrawnImage:
    """An image with proposed outlines or regions (segmentation), or a proposed label (classification).

    Attributes:
        name: Path of its file below `images/`.
        height: Height in pixels, as a viewer shows it.
        width: Width in pixels.
        outlines: Polygons, each of one class.
        label: Name of the proposed class.
        regions: In place of polygons, all pixels of each class.
    """

    name: str
    height: int
    width: int
    outlines: Sequence[Outline] = ()
    label: str | None = None
    regions: Sequence[Region] = ()


@dataclass(frozen=True)
class Handover:
    """The way to a tool and back.

    Attributes:
        opening: How a person opens the folder in the tool.
        returning: How the corrected labels come back.
        source: Value of `ingest.source` that reads what came back.
    """

    opening: str
    returning: str
    source: dict[str, Any]


def name_of(file_name: str) -> str:
    """The name of an image's copy: without what XML, or a file system where people label, does not take."""
    return "".join("_" if one in REFUSED or not one.isprintable() else one for one in file_name)


def drawn_classes(classes: ClassMap) -> list[int]:
    """The ids of the classes that a person draws: of masks all but the one called background, which nobody draws."""
    is_drawn = [classes.task != "segmentation" or name.casefold() != BACKGROUND for name in classes.names]
    return [id for id, drawn in enumerate(is_drawn) if drawn]


def background_of(classes: ClassMap) -> str | None:
    """The name of the class that nobody draws; None where there is none."""
    drawn = drawn_classes(classes)
    return next((name for id, name in enumerate(classes.names) if id not in drawn), None)


def coco_source(classes: ClassMap) -> dict[str, Any]:
    """The source that gives masks in COCO's form the classes they had, in the same order."""
    names = [classes.names[id] for id in drawn_classes(classes)]
    options = {"background": background_of(classes), "categories": names, "held_out_fraction": HELD_OUT_FRACTION}
    return {"name": "coco", **options}
