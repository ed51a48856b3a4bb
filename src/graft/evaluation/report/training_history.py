"""The trainings of fine-tune in the report: learning curves, and the parameter groups of each model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.tables import read_table
from graft.foundation.errors import GraftError
from graft.models.saved_model import MODEL_NAMES

CURVE_COLUMNS = ("run", "epoch", "train_loss", "val_loss", "val_score")
GROUP_COLUMNS = ("run", "group", "parameters", "trains_from_epoch", "learning_rate", "weight_decay")
STYLES = {"fine_tuned": "ours", "source_only": "source", "baseline": "other"}
TARGET_SCORE = "target_score"  # of `adapt`, to which an epoch is worth the mean of both
STEP = "step."  # columns of curves.csv that say which steps of `adapt` an epoch took
STEEP = 30  # from this ratio on small losses would lie on the axis: it goes up in powers of ten


def read_curves(folder: Path) -> list[dict[str, str]]:
    """The rows of `curves.csv`, text as it stands there.

    Raises:
        GraftError: The file is missing, or a column is.
    """
    path = folder / "curves.csv"
    if not path.is_file():
        raise GraftError("file not found", where=path, remedy="run the stage that writes it: dvc repro")
    return read_table(path, CURVE_COLUMNS)


def loss_chart(rows: list[dict[str, str]]) -> Markup:
    """Training and validation loss by epoch, of each run."""
    lines = []
    for run, style in STYLES.items():
        lines.append(Line(f"{MODEL_NAMES[run]}, val", style, _points(rows, run, "val_loss")))
        lines.append(Line(f"{MODEL_NAMES[run]}, train", f"{style} dashed", _points(rows, run, "train_loss")))
    return _chart(lines, "loss", "Loss by epoch", percent=False)


def score_chart(rows: list[dict[str, str]], title: str) -> Markup:
    """Validation score by epoch, of each run, the epoch marked that was kept: the first that is worth most."""
    lines = []
    for run, style in STYLES.items():
        points, targets = _points(rows, run, "val_score"), dict(_points(rows, run, TARGET_SCORE))
        worths = [score + targets.get(epoch, 0.0) for epoch, score in points]
        lines.append(Line(MODEL_NAMES[run], style, points, [worths.index(max(worths))] if points else []))
    return _chart(lines, title, f"Validation {title} by epoch", percent=True)


def _points(rows: list[dict[str, str]], run: str, column: str) -> list[tuple[float, float]]:
    pairs = [(float(row["epoch"]), float(row[column])) for row in rows if row["run"] == run and row.get(column)]
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


def read_rungs(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The rungs of the ladder that a training climbed, in order; none of a training without a ladder.

    Args:
        rows: Rows of `read_curves`.

    Returns:
        Dicts of `step` (in words; None of the first rung, which takes none), the `first` and `last` epoch, the highest
        `val_score` and `target_score` of its epochs (None where none was measured), and `kept` (None where nobody
        judged).
    """
    steps = [name for name in rows[0] if name.startswith(STEP)] if rows else []
    rungs: dict[str | None, list[dict[str, str]]] = {}
    for row in rows if steps else ():
        if row["run"] == "fine_tuned":
            taken = [name for name in steps if float(row[name])]
            rungs.setdefault(taken[-1] if taken else None, []).append(row)
    return [
        {
            "step": step and step.removeprefix(STEP).replace("_", " "),
            "first": epochs[0]["epoch"],
            "last": epochs[-1]["epoch"],
            "val_score": _highest(epochs, "val_score"),
            "target_score": _highest(epochs, TARGET_SCORE),
            "kept": _highest(epochs, "rung_kept"),
        }
        for step, epochs in rungs.items()
    ]


def _highest(rows: list[dict[str, str]], column: str) -> float | None:
    return max((float(row[column]) for row in rows if row.get(column)), default=None)


def read_groups(folder: Path) -> list[dict[str, Any]]:
    """The rows of `parameter_groups.csv` of fine-tune; none where the folder holds no such table.

    Returns:
        Dicts of `model` (only in the first row of a run, else empty), `group`, `parameters`, `trains` in words,
        `learning_rate` and `weight_decay` as text.

    Raises:
        GraftError: A column is missing.
    """
    path = folder / "parameter_groups.csv"
    if not path.is_file():
        return []
    rows = read_table(path, GROUP_COLUMNS)
    firsts = [number == 0 or row["run"] != rows[number - 1]["run"] for number, row in enumerate(rows)]
    return [
        {
            "model": MODEL_NAMES.get(row["run"], row["run"]) if is_first else "",
            "group": row["group"],
            "parameters": int(row["parameters"]),
            "trains": _trains(row["trains_from_epoch"]),
            "learning_rate": row["learning_rate"] or "–",
            "weight_decay": row["weight_decay"] or "–",
        }
        for row, is_first in zip(rows, firsts, strict=True)
    ]


def _trains(epoch: str) -> str:
    if not epoch:
        return "no"
    return "yes" if epoch == "1" else f"from epoch {epoch}"
