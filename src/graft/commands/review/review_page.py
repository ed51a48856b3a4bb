"""`review.html`: the most doubtful labels, each with its image, what the label says and what is suggested."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from graft.commands.review.review import Review, ShownDoubt
from graft.evaluation.report.report_page import open_templates
from graft.foundation.class_map import ClassMap
from graft.foundation.content import replace_file
from graft.models.saved_model import MODEL_COLOURS

MOST_REGIONS = 3  # that a caption names


def write_page(path: Path, found: Review, shown: Iterable[ShownDoubt], classes: ClassMap) -> None:
    """Writes the page; it needs no other file."""
    swatches = {
        name: "rgb({}, {}, {})".format(*colour) for name, colour in zip(classes.names, classes.colors, strict=True)
    }
    is_segmentation = classes.task == "segmentation"
    text = (
        open_templates(Path(__file__).parent)
        .get_template("review.html.j2")
        .render(
            summary=str(found),
            shown=list(shown),
            names=classes.names,
            swatches=swatches if is_segmentation else {},
            most_regions=MOST_REGIONS,
            is_segmentation=is_segmentation,
            colours=MODEL_COLOURS,
        )
    )
    with replace_file(path) as pending:
        pending.write_text(text, encoding="utf-8")
