"""A selection for people to read: a table on the terminal, a page, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import write_json
from graft.models.saved_model import MODEL_COLOURS
from graft.selection.ranking import RankedCandidate

if TYPE_CHECKING:
    from graft.selection.select import Selection

NOTHING = "-"


def table(ordered: Sequence[RankedCandidate], scores: Sequence[str]) -> list[tuple[str, ...]]:
    """The rows of the table as text: a header, and a line for each candidate, best first."""
    verified = any(one.verified is not None for one in ordered)
    header = ["RANK", "CANDIDATE", "MEAN RANK", *(name.upper() for name in scores), *(["FINE-TUNED"] * verified)]
    lines = [(*header, "WITHOUT DATA", "PUBLISHED", "PARAMETERS", "GFLOP", "LATENCY", "MEMORY")]
    for one in ordered:
        cells = [str(one.rank), one.candidate.name, f"{one.mean_rank:.2f}"]
        cells += [f"{one.scores[name]:.4g}" if name in one.scores else NOTHING for name in scores]
        if verified:
            cells.append(NOTHING if one.verified is None else f"{one.verified:.3f}")
        published = NOTHING if one.published is None else f"{one.published.metric} {one.published.value:.3f}"
        cost = one.cost
        cells += [str(one.baseline_rank), published, f"{cost.num_parameters / 1e6:.2f} M"]
        cells += [f"{cost.operations / 1e9:.2f}", f"{cost.latency_ms:.1f} ms", f"{cost.memory_bytes / 1e6:.0f} MB"]
        lines.append(tuple(cells))
    return lines


def as_text(selection: Selection) -> str:
    """The selection as the command prints it."""
    lines = table(selection.ordered, selection.scores)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    said = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    said += [f"{name}: {why}" for name, why in selection.unusable.items()]
    return "\n".join([*said, "", *_below(selection)])


def write_page(selection: Selection, folder: Path) -> None:
    """Writes `selection.json`, `selection.md` and `selection.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "selection.json", as_json(selection))
    header, *rows = table(selection.ordered, selection.scores)
    lines = ["# Which pretrained model suits this data", "", *_below(selection), ""]
    lines += [_row(header), _row(["---"] * len(header)), *map(_row, rows), ""]
    if selection.unusable:
        lines += ["## Not scored", "", *(f"- **{name}**: {why}" for name, why in selection.unusable.items()), ""]
    lines += ["## How to read this", "", *_explain(selection), ""]
    (folder / "selection.md").write_text("\n".join(lines), encoding="utf-8")
    _draw(selection, folder / "selection.png")


def as_json(selection: Selection) -> dict[str, Any]:
    """The whole selection as plain data."""
    rows = [
        {
            **one.candidate.as_dict(),
            "rank": one.rank,
            "mean_rank": one.mean_rank,
            "baseline_rank": one.baseline_rank,
            "scores": one.scores,
            "cost": asdict(one.cost),
            "published": None if one.published is None else one.published.model_dump(),
            "verified": one.verified,
        }
        for one in selection.ordered
    ]
    return {
        "candidates": rows,
        "not_scored": selection.unusable,
        "recommendation": selection.recommendation,
        "weighted_kendall": selection.agreements,
        "fine_tuned": selection.trained,
        "facts": selection.facts,
    }


def _below(selection: Selection) -> list[str]:
    said = [selection.recommendation]
    if selection.trained:
        said += ["", selection.trained]
    if selection.agreements:
        said += ["", f"Weighted Kendall correlation with fine-tuning: {_correlations(selection.agreements)}."]
    return said


def _correlations(agreements: Mapping[str, float | None]) -> str:
    values = {name: "undefined" if value is None else f"{value:.2f}" for name, value in agreements.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _explain(selection: Selection) -> list[str]:
    facts = selection.facts
    asked = "pixels, as many of each class in an image" if facts["task"] == "segmentation" else "images"
    return [
        f"- Scores were computed without training, from features at {facts['num_points']:,} {asked}, of "
        f"{facts['num_images']:,} training images; larger is better. MEAN RANK is over "
        "the scores that all candidates have.",
        "- WITHOUT DATA is the baseline: weights before none, then the higher published score (on whatever data its "
        "makers used), then more parameters.",
        f"- Latency (median) and memory (all tensors alive at once) are for one image of {facts['height_px']} × "
        f"{facts['width_px']} px on {facts['device']}, {facts['num_threads']} threads, measured here.",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(selection: Selection, path: Path) -> None:
    """Draws the mean rank of each candidate as a bar, with its fine-tuned score beside it."""
    from matplotlib.figure import Figure

    ordered = selection.ordered[::-1]
    figure = Figure(figsize=(8, 1.2 + 0.35 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    colours = [MODEL_COLOURS["baseline" if one.candidate.is_random else "fine_tuned"] for one in ordered]
    bars = axes.barh([one.candidate.name for one in ordered], [one.mean_rank for one in ordered], color=colours)
    axes.bar_label(bars, ["" if one.verified is None else f" fine-tuned {one.verified:.3f}" for one in ordered])
    axes.set_xlabel("mean rank over the scores (1 is best); grey: random initialisation")
    axes.margins(x=0.25)
    figure.savefig(path, dpi=110, metadata={"Software": None})
