"""The learning curves of fine-tune as charts of the report."""

from __future__ import annotations

import math
from pathlib import Path

from markupsafe import Markup

from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.results import MODEL_NAMES
from graft.evaluation.report.tables import read_table
from graft.foundation.errors import GraftError

COLUMNS = ("run", "epoch", "train_loss", "val_loss", "val_score")
STYLES = {"fine_tuned": "ours", "baseline": "other"}
STEEP = 30  # from this ratio on small losses would lie on the axis: it goes up in powers of ten


def read_curves(folder: Path) -> list[dict[str, str]]:
    """The rows of `curves.csv`, text as it stands there.

    Raises:
        GraftError: The file is missing, or a column is.
    """
    path = folder / "curves.csv"
    if not path.is_file():
        raise GraftError("file not found", where=path, remedy="run the stage that writes it: dvc repro")
    return read_table(path, COLUMNS)


def loss_chart(rows: list[dict[str, str]]) -> Markup:
    """Training and validation loss by epoch, of each run."""
    lines = []
    for run, style in STYLES.items():
        lines.append(Line(f"{MODEL_NAMES[run]}, val", style, _points(rows, run, "val_loss")))
        lines.append(Line(f"{MODEL_NAMES[run]}, train", f"{style} dashed", _points(rows, run, "train_loss")))
    return _chart(lines, "loss", "Loss by epoch", percent=False)


def score_chart(rows: list[dict[str, str]], title: str) -> Markup:
    """Validation score by epoch, of each run, its best epoch marked."""
    lines = []
    for run, style in STYLES.items():
        points = _points(rows, run, "val_score")
        best = [max(range(len(points)), key=lambda i: points[i][1])] if points else []
        lines.append(Line(MODEL_NAMES[run], style, points, best))
    return _chart(lines, title, f"Validation {title} by epoch", percent=True)


def _points(rows: list[dict[str, str]], run: str, column: str) -> list[tuple[float, float]]:
    pairs = [(float(row["epoch"]), float(row[column])) for row in rows if row["run"] == run and row[column]]
    return [pair for pair in pairs if math.isfinite(pair[1])]


def _chart(lines: list[Line], title: str, description: str, *, percent: bool) -> Markup:
    drawn = [line for line in lines if line.points]
    if not drawn:
        return Markup("")
    x = Axis.over("epoch", [point[0] for line in drawn for point in line.points], whole=True)
    values = [point[1] for line in drawn for point in line.points]
    steep = not percent and min(values) > 0 and max(values) > STEEP * min(values)
    y = Axis.over_powers(title, values) if steep else Axis.over(title, [0.0, *values], percent=percent)
    return line_chart(drawn, x, y, description)
