"""`sheet.html`: the chosen images with what a model proposes and why they were chosen, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.deployment.labelling.worth import Pick
from graft.evaluation.report.examples import Picture
from graft.evaluation.report.report_page import open_templates
from graft.foundation.class_map import ClassMap
from graft.models.saved_model import MODEL_COLOURS


@dataclass(frozen=True)
class SheetImage:
    """An image of the sheet.

    Attributes:
        name: Path below `images/`.
        pick: Reasons for which it was chosen.
        nearest: Name of the nearest labelled image; empty where none is known.
        pictures: The image, and for segmentation the proposed mask over it.
        label: Proposed class; empty for segmentation.
    """

    name: str
    pick: Pick
    nearest: str
    pictures: Sequence[Picture]
    label: str


def write_sheet(path: Path, images: Sequence[SheetImage], classes: ClassMap, summary: str) -> None:
    """Writes the page; it needs no other file."""
    swatches = {
        name: "rgb({}, {}, {})".format(*colour) for name, colour in zip(classes.names, classes.colors, strict=True)
    }
    page = open_templates(Path(__file__).parent).get_template("sheet.html.j2")
    shown = swatches if classes.task == "segmentation" else {}
    text = page.render(images=images, swatches=shown, summary=summary, colours=MODEL_COLOURS)
    path.write_text(text, encoding="utf-8")
