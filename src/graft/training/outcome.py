"""The results of the trainings of a stage, and the files that tell them: models, curves, summary."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from graft.foundation.content import write_json
from graft.metrics.confusion import HEADLINE
from graft.models.saved_model import MODEL_COLOURS, MODEL_NAMES, ModelSpec, model_folder, save_model
from graft.training.state import EpochReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


GROUP_COLUMNS = ("run", "group", "parameters", "trains_from_epoch", "learning_rate", "weight_decay")


def write_parameter_groups(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the table as CSV; what is frozen has no epoch, rate and decay.

    Args:
        path: Path of the file.
        runs: The summary of each run, with its `parameter_groups` and `frozen_parameters`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, GROUP_COLUMNS, lineterminator="\n")
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


COLUMNS = ("run", "epoch", "step", "train_loss", "val_loss", "val_score", "learning_rate")


def write_curves(folder: Path, runs: Mapping[str, Sequence[EpochReport]], score_name: str) -> None:
    """Writes `curves.csv`, a row an epoch, and `curves.png`; what strategies measured stands in columns of its own.

    Args:
        folder: Folder of the files.
        runs: The reports of each run (`fine_tuned`, `baseline`).
        score_name: Name of `val_score`, in words.
    """
    with (folder / "curves.csv").open("w", encoding="utf-8", newline="") as file:
        measured = dict.fromkeys(name for reports in runs.values() for report in reports for name in report.measures)
        rows = csv.DictWriter(file, [*COLUMNS, *measured], lineterminator="\n")
        rows.writeheader()
        for run, reports in runs.items():
            rows.writerows({"run": run, "epoch": report.epoch, **report.curve()} for report in reports)
    _draw(folder / "curves.png", runs, score_name)


def _draw(path: Path, runs: Mapping[str, Sequence[EpochReport]], score_name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    for run, reports in runs.items():
        name, epochs = MODEL_NAMES[run], [report.epoch for report in reports]
        validated = [report for report in reports if report.val_score is not None]
        style: dict[str, Any] = {"color": MODEL_COLOURS[run], "marker": "o" if len(validated) == 1 else None}
        at = [report.epoch for report in validated]
        losses.plot(at, [report.curve()["val_loss"] for report in validated], label=f"{name}, val", **style)
        losses.plot(epochs, [report.train_loss for report in reports], label=f"{name}, train", ls=":", **style)
        scores.plot(at, [report.curve()["val_score"] for report in validated], label=name, **style)
        _mark_best(scores, [report for report in reports if report.is_best][-1], MODEL_COLOURS[run])
    _dress(losses, "Loss")
    _dress(scores, f"{score_name[0].upper()}{score_name[1:]} on val (the dot is kept)")
    losses.set_ylim(bottom=0)
    highest = max(report.val_score or 0.0 for reports in runs.values() for report in reports)
    scores.set_ylim(0, min(1.0, 1.18 * highest + 0.02))
    figure.savefig(path, metadata={"Software": None})


def _mark_best(axes: Axes, best: EpochReport, colour: str) -> None:
    """A dot where the kept epoch is, its score above it."""
    axes.plot([best.epoch], [best.curve()["val_score"]], "o", color=colour, ms=7, mec="white", mew=1.2, zorder=3)
    axes.annotate(
        f"{best.val_score:.3f}",
        (best.epoch, best.val_score),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontweight="bold",
    )


def _dress(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#dddddd", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.04)
    axes.legend(frameon=False, fontsize=9)


SCORE_NAMES = {"segmentation": "mean IoU", "classification": "accuracy", "multilabel": "mean average precision"}


@dataclass(frozen=True)
class TrainingOutcome:
    """The result of a training.

    Attributes:
        state: The weights of the best epoch, on the CPU.
        reports: One for each epoch.
        best: The report of the epoch whose weights are kept.
        summary: The same and the settings of the training, for `summary.json`.
        compile_cost: Cost of torch.compile, by name; no declared output quotes it.
        widths: Widths of the layers that were narrowed, as in a spec.
        thresholds: Threshold of each class, as in a spec.
    """

    state: Mapping[str, Tensor]
    reports: list[EpochReport]
    best: EpochReport
    summary: dict[str, Any]
    compile_cost: dict[str, float] = field(default_factory=dict)
    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()


def write_models(out: Path, outcomes: Mapping[str, TrainingOutcome], spec: ModelSpec) -> None:
    """Writes the weights of `fine_tuned` and their spec, and those of any other run into a folder of its name."""
    for name, outcome in outcomes.items():
        folder = model_folder(out, name)
        folder.mkdir(exist_ok=True)
        save_model(folder, outcome.state, replace(spec, widths=outcome.widths, thresholds=outcome.thresholds))


def write_learning(
    folder: Path, outcomes: Mapping[str, TrainingOutcome], task: str, settings: Mapping[str, Any]
) -> None:
    """Writes the curves, the parameter groups, and `summary.json`: the settings of the runs and their results."""
    write_curves(folder, {name: outcome.reports for name, outcome in outcomes.items()}, SCORE_NAMES[task])
    runs = {name: outcome.summary for name, outcome in outcomes.items()}
    write_parameter_groups(folder / "parameter_groups.csv", runs)
    write_json(folder / "summary.json", {**settings, "score": HEADLINE[task], "runs": runs})


def write_measured(path: Path, outcomes: Mapping[str, TrainingOutcome]) -> None:
    """Writes what a clock and the machine decided: the cost of each epoch, and what torch.compile cost."""
    facts: dict[str, Any] = {}
    for name, outcome in outcomes.items():
        facts |= {f"{name}.{fact}": value for fact, value in outcome.compile_cost.items()}
        facts[f"{name}.epochs"] = [{"epoch": report.epoch, **report.cost.curve()} for report in outcome.reports]
    write_json(path, facts)


def headline_scores(task: str, outcomes: Mapping[str, TrainingOutcome]) -> dict[str, float]:
    """The best val score of each run, the epoch it was reached in, and what pruning left and found."""
    scores = {f"{name}.val_{HEADLINE[task]}": outcome.best.curve()["val_score"] for name, outcome in outcomes.items()}
    scores |= {f"{name}.best_epoch": float(outcome.best.epoch) for name, outcome in outcomes.items()}
    for name, outcome in outcomes.items():
        for count, facts in outcome.summary.get("pruned", {}).items():
            scores |= {f"{name}.{count}": float(facts["after"]), f"{name}.{count}_before": float(facts["before"])}
    return scores
