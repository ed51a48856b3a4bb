"""What the trainings of a stage came to, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from graft.checkpoints import ModelSpec, save_model
from graft.curves import write_curves
from graft.metrics.confusion import HEADLINE
from graft.parameter_groups import write_parameter_groups
from graft.sample import write_json
from graft.trainee import EpochReport

SCORE_NAMES = {"segmentation": "mean IoU", "classification": "accuracy"}


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        state: The weights of the best epoch, on the CPU.
        reports: One for each epoch.
        best: The report of the epoch whose weights are kept.
        summary: The same and what it was made of, for `summary.json`.
        measured: What a clock decided, which no declared output quotes.
    """

    state: Mapping[str, Tensor]
    reports: list[EpochReport]
    best: EpochReport
    summary: dict[str, Any]
    measured: dict[str, float] = field(default_factory=dict)


def write_models(out: Path, outcomes: Mapping[str, Outcome], spec: ModelSpec) -> None:
    """Writes the weights of `fine_tuned` and their spec, and those of any other run into a folder of its name."""
    for name, outcome in outcomes.items():
        folder = out if name == "fine_tuned" else out / name
        folder.mkdir(exist_ok=True)
        save_model(folder, outcome.state, spec)


def write_learning(folder: Path, outcomes: Mapping[str, Outcome], task: str, made_of: Mapping[str, Any]) -> None:
    """Writes the curves, what moved, and `summary.json`: what the runs were made of and what each came to."""
    write_curves(folder, {name: outcome.reports for name, outcome in outcomes.items()}, SCORE_NAMES[task])
    runs = {name: outcome.summary for name, outcome in outcomes.items()}
    write_parameter_groups(folder / "parameter_groups.csv", runs)
    write_json(folder / "summary.json", {**made_of, "score": HEADLINE[task], "runs": runs})


def headline(task: str, outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """The best val score of each run and the epoch it was reached in."""
    scores = {f"{name}.val_{HEADLINE[task]}": outcome.best.val_score for name, outcome in outcomes.items()}
    return scores | {f"{name}.best_epoch": float(outcome.best.epoch) for name, outcome in outcomes.items()}
