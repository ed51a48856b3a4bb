"""What of a model moved, as a table: a row for each parameter group of each run, and for what was frozen."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

COLUMNS = ("run", "group", "parameters", "trains_from_epoch", "learning_rate", "weight_decay")


def write_parameter_groups(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the table as CSV; what is frozen has no epoch, rate and decay.

    Args:
        path: Of the file.
        runs: The summary of each run, with its `parameter_groups` and `frozen_parameters`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        rows.writeheader()
        for run, summary in runs.items():
            rows.writerows({"run": run, **row} for row in _rows(summary))


def _rows(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in summary["parameter_groups"]:
        yield {
            "group": row["name"],
            "parameters": row["num_parameters"],
            "trains_from_epoch": row["trains_from_epoch"],
            "learning_rate": f"{row['learning_rate']:.4g}",
            "weight_decay": f"{row['weight_decay']:.4g}",
        }
    for row in summary["frozen_parameters"]:
        yield {"group": row["name"], "parameters": row["num_parameters"]}
