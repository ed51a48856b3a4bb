"""Plots as PNG, for MLflow and for slides; the report draws its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from graft.evaluation.report.tables import shares_of_truth
from graft.models.saved_model import MODEL_COLOURS, MODEL_NAMES

MAX_CLASSES_WITH_NUMBERS = 16


def plot_confusion(path: Path, confusion: np.ndarray, names: Sequence[str]) -> None:
    """Shares of each actual class, a square for each pair."""
    from matplotlib.figure import Figure

    shares = shares_of_truth(confusion)
    side = max(4.5, 0.55 * len(names) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.ma.masked_invalid(shares), cmap="GnBu", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="actual", title="Percent of each actual class")
    if len(names) <= MAX_CLASSES_WITH_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.6 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def plot_classes(path: Path, title: str, names: Sequence[str], values: Mapping[str, Sequence[float | None]]) -> None:
    """A bar for each class and model.

    Args:
        path: Path of the picture.
        title: Name of the score.
        names: The K classes.
        values: The score of each class, K fractions of one, by the run of the model.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, max(2.4, 0.42 * len(names) + 1.2)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(values)
    for place, (run, by_class) in enumerate(values.items()):
        positions = np.arange(len(names)) + (place - (len(values) - 1) / 2) * height
        percent = [100 * (value or 0) for value in by_class]
        axes.barh(positions, percent, height, label=MODEL_NAMES[run], color=MODEL_COLOURS[run])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=f"{title}, percent", xlim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)
    if len(values) > 1:
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
