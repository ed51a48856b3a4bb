"""What of each model moved, when and how fast, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.evaluation.report.results import MODEL_NAMES
from graft.evaluation.report.tables import read_table

COLUMNS = ("run", "group", "parameters", "trains_from_epoch", "learning_rate", "weight_decay")


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
    rows = read_table(path, COLUMNS)
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
