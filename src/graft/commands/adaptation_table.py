"""An adapted model by domain, between the same training without any step of `adapt` and an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.evaluation.observations import Observations
from graft.evaluation.reference import REFERENCE_FILE
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.metrics.confusion import HEADLINE
from graft.provenance.stages import EVALUATION


def oracle_scores(folder: Path, metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The headline scores of a model that learnt from labels of all domains: of all images, and of each domain.

    Args:
        folder: Folder of its evaluation, or of its export, where its metrics stand beside its reference.
        metrics: The metrics of the adapted model.

    Raises:
        GraftError: There is no such model, or it was scored for another task or other classes, or on other images by
            their digests (of the thousand that a reference holds), number or domains.
    """
    if not (folder / "metrics.json").is_file():
        raise GraftError(
            "no scores of an oracle: there is no metrics.json in it",
            where=folder,
            rule="an oracle is a registered model, or the folder that evaluate or export wrote of one",
            remedy="correct --oracle",
        )
    found = read_json(folder / "metrics.json")
    if (theirs := sorted(found["true_share"])) != (ours := sorted(metrics["true_share"])):
        raise GraftError(
            f"the oracle tells other classes apart than this model: {', '.join(theirs)}",
            where=folder,
            rule=f"a mean over classes is compared over the same ones: {', '.join(ours)}",
            remedy="train the oracle with the classes of this project",
        )
    if _scored_on(found) != _scored_on(metrics) or _digests(folder) != _digests(Path(EVALUATION)):
        raise GraftError(
            "the oracle was scored on other images than this model",
            where=folder,
            rule="scores are compared on the very same images, in the same domains",
            remedy="evaluate the oracle on the same test images: the same ingest.root, source and split_seed",
        )
    return _headlines(found)


def adaptation_table(metrics: Mapping[str, Any], oracle: Mapping[str, float | None] | None) -> Any:
    """A table for rich: a row for all images, and one for each domain where there are several.

    Args:
        metrics: The content of metrics.json; `source_only` in it is the same training without any step.
        oracle: Scores as `oracle_scores` gives them. The gap that adaptation closed is
            (adapted - source only) / (oracle - source only).
    """
    from rich.table import Table

    source = _headlines(metrics["source_only"]) if "source_only" in metrics else {}
    columns = {"source only": bool(source), "adapted": True, "oracle": oracle is not None, "gain": bool(source)}
    columns["gap closed"] = bool(source) and oracle is not None
    table = Table(title="What adaptation gained", title_justify="left")
    for column in ("domain", *(name for name, is_there in columns.items() if is_there)):
        table.add_column(column, justify="left" if column == "domain" else "right")
    for name, value in _headlines(metrics).items():
        low, high = source.get(name), (oracle or {}).get(name)
        cells = percent(low), percent(value), percent(high), points(value, low), _closed(low, value, high)
        shown = [cell for cell, is_there in zip(cells, columns.values(), strict=True) if is_there]
        table.add_row(name, *shown)
    return table


def percent(value: float | None) -> str:
    """0.5 as 50.0%; `absent` where there is no value."""
    return "absent" if value is None else f"{100 * value:.1f}%"


def points(value: float | None, other: float | None) -> str:
    """How far a score lies above another, in percentage points; empty where one of them is missing."""
    return "" if value is None or other is None else f"{100 * (value - other):+.1f} points"


def _closed(low: float | None, value: float | None, high: float | None) -> str:
    """The share of a gap that is closed; a dash where there is none to close."""
    if low is None or value is None or high is None or high <= low:
        return "–"
    return f"{(value - low) / (high - low):.0%}"


def _headlines(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    headline = next(name for name in HEADLINE.values() if name in metrics)
    parts = metrics["per_domain"] if len(metrics["per_domain"]) > 1 else {}
    return {"all images": metrics[headline], **{name: part[headline] for name, part in parts.items()}}


def _scored_on(metrics: Mapping[str, Any]) -> tuple[Any, ...]:
    """The facts that two evaluations of the same images share: task, number, and number by domain."""
    tasks = [name for name in HEADLINE.values() if name in metrics]
    return tasks, metrics["num_images"], {name: part["num_images"] for name, part in metrics["per_domain"].items()}


def _digests(folder: Path) -> list[str]:
    return sorted(Observations.read(folder / REFERENCE_FILE).digests)
