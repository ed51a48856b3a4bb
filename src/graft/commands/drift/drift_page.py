"""Drift for people: one page that needs no other file, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from graft.commands.drift.comparison import CONFIDENCE, MeasuredChange
from graft.commands.drift.drift import Drift
from graft.commands.drift.unusual import UnusualImage
from graft.commands.drift.verdict import RULE
from graft.data.images.stacks import composite, decode
from graft.data.properties import PROPERTIES
from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.examples import show
from graft.evaluation.report.report_page import open_templates
from graft.foundation.content import replace_file, write_json
from graft.models.saved_model import MODEL_COLOURS

NUM_POINTS = 60  # of a curve: a page of many images stays small


def write_page(drift: Drift, model: str, out: Path) -> Path:
    """Writes `drift.html` and `drift.json`; returns the path of the page.

    Args:
        drift: The comparison.
        model: The model in words: a folder, or the address of a registered one.
        out: Folder to write to; created if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = (
        open_templates(Path(__file__).parent)
        .get_template("drift.html.j2")
        .render(
            drift=drift,
            model=model,
            rule=RULE,
            colours=MODEL_COLOURS,
            charts=[(one, _chart(drift, one)) for one in drift.movements if one.moved and one.before is not None],
            shares=_shares(drift),
            unit="pixels" if drift.classes.task == "segmentation" else "images",
            images=[_describe(drift, image) for image in drift.unusual],
        )
    )
    with replace_file(out / "drift.html") as pending:
        pending.write_text(text, encoding="utf-8")
    write_json(out / "drift.json", as_json(drift, model))
    return out / "drift.html"


def as_json(drift: Drift, model: str) -> dict[str, Any]:
    """All that was found as plain data."""
    return {
        "model": model,
        "verdict": drift.verdict.state.value,
        "moved": list(drift.verdict.moved),
        "update_due_to": list(drift.verdict.reasons),
        "undecided": drift.verdict.undecided,
        "rule": RULE,
        "false_alarms": drift.false_alarms,
        "num_images": len(drift.files),
        "num_reference": len(drift.reference.digests),
        "measures": [asdict(movement) for movement in drift.movements],
        "unusual": [
            {"image": drift.files[one.place].as_posix(), "reasons": list(one.reasons)} for one in drift.unusual
        ],
        "not_read": drift.problems,
        "skipped": drift.skipped,
    }


def _chart(drift: Drift, movement: MeasuredChange) -> Markup:
    """The share of images at or below each value, of the reference and of the new ones."""
    both = {"before": (drift.reference, "other"), "now": (drift.new, "ours")}
    shares = np.linspace(0, 1, NUM_POINTS)
    lines = []
    for name, (images, style) in both.items():
        values = images.confidence if movement.name == CONFIDENCE else images.properties[movement.name]
        placed = np.quantile(values, shares).tolist()
        lines.append(Line(name, style, list(zip(placed, shares.tolist(), strict=True))))
    unit = PROPERTIES[movement.name][0] if movement.name in PROPERTIES else ""
    title = f"{movement.name.replace('_', ' ')}{f' ({unit})' if unit else ''}"
    x = Axis.over(title, [across for line in lines for across, _ in line.points])
    y = Axis.over("share of images", [0.0, 1.0], percent=True)
    return line_chart(lines, x, y, f"Share of images at or below each {title}, before and now")


def _shares(drift: Drift) -> list[dict[str, Any]]:
    """A row for each class, those that moved most first: its colour, and its share before and now."""
    before, now = (images.class_shares.mean(axis=0).tolist() for images in (drift.reference, drift.new))
    largest = max(*before, *now, 1e-9)
    rows = [
        {
            "name": name,
            "color": "rgb({}, {}, {})".format(*colour),
            "before": of_before,
            "now": of_now,
            "widths": [100 * of_now / largest, 100 * of_before / largest],
        }
        for name, colour, of_before, of_now in zip(drift.classes.names, drift.classes.colors, before, now, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row["now"] - row["before"]))


def _describe(drift: Drift, image: UnusualImage) -> dict[str, Any]:
    """Values of the page about one image, which is read again."""
    file = drift.files[image.place]
    picture = composite(decode(file.read_bytes(), drift.classes, where=file), drift.classes.channels)
    return {"file": file.as_posix(), "uri": show(picture, {}, [])[0].uri, "reasons": image.reasons}
