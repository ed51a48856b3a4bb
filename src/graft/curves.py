"""Learning curves, as a table and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.trainee import EpochReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("run", "epoch", "step", "train_loss", "val_loss", "val_score", "learning_rate")
COLOURS = {"fine_tuned": "#0b6e4f", "baseline": "#c8553d"}
NAMES = {"fine_tuned": "fine-tuned", "baseline": "from scratch"}


def write_curves(folder: Path, runs: Mapping[str, Sequence[EpochReport]], score_name: str) -> None:
    """Writes `curves.csv`, a row an epoch, and `curves.png`.

    Args:
        folder: Where to.
        runs: The reports of each run (`fine_tuned`, `baseline`).
        score_name: What `val_score` is, in words.
    """
    with (folder / "curves.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
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
        epochs = [report.epoch for report in reports]
        colour = COLOURS[run]
        marker = "o" if len(epochs) == 1 else None
        losses.plot(epochs, [r.train_loss for r in reports], color=colour, marker=marker, label=f"{NAMES[run]}, train")
        losses.plot(
            epochs, [r.val_loss for r in reports], color=colour, marker=marker, ls="--", label=f"{NAMES[run]}, val"
        )
        scores.plot(epochs, [r.val_score for r in reports], color=colour, marker=marker, label=NAMES[run])
        best = [report for report in reports if report.is_best][-1]
        scores.plot([best.epoch], [best.val_score], "o", color=colour, ms=7, mec="white", mew=1.2, zorder=3)
        _write_beside(scores, best, colour)
    _dress(losses, "Loss")
    _dress(scores, f"{score_name[0].upper()}{score_name[1:]} on val (the dot is kept)")
    losses.set_ylim(bottom=0)
    scores.set_ylim(0, min(1.0, 1.18 * max(report.val_score for reports in runs.values() for report in reports) + 0.02))
    figure.savefig(path, metadata={"Software": None})


def _write_beside(axes: Axes, best: EpochReport, colour: str) -> None:
    axes.annotate(
        f"{best.val_score:.3f}",
        (best.epoch, best.val_score),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        color=colour,
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
