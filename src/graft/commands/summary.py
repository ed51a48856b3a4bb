"""The short table that `make repro` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graft.commands.adaptation_table import adaptation_table, oracle_scores, percent, points
from graft.evaluation.report.results import CLASS_SCORE_SHOWN
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.metrics.confusion import HEADLINE
from graft.provenance.exported_files import HEAD, ExportedFile, exported_files, legend
from graft.provenance.records import Record
from graft.provenance.stages import CLASS_MAP, MEASURED, REPORT, SCORES, record_path


def print_summary(oracle: Path | None = None) -> None:
    """Prints scores per class and overall beside the baseline's, latency, and where to look next.

    Args:
        oracle: Folder of the evaluation, or of the export, of a model to compare with by domain.

    Raises:
        GraftError: That model was scored on other images.
    """
    from rich.console import Console

    from graft.provenance.tracking.mlflow_store import store_uri

    console = Console(highlight=False, soft_wrap=True)
    metrics = read_json(Path(SCORES))
    console.print(_table(metrics))
    upper = None if oracle is None else oracle_scores(oracle, metrics)
    if "source_only" in metrics or upper is not None:
        console.print(adaptation_table(metrics, upper))
    export = record_path("export")
    if export.is_file() and (files := exported_files(Record.read(export).fingerprint)):
        console.print(_files(files))
    for note in _notes(metrics):
        console.print(note)
    console.print(f"Report     {REPORT}   (open it in a browser)")
    console.print(f"MLflow UI  {_ui_address(store_uri())}")


def _ui_address(store: str) -> str:
    """The address of the MLflow UI: the server itself, or the command that serves a local store."""
    if urlsplit(store).scheme in ("http", "https"):
        return store
    return f".venv/bin/mlflow ui --backend-store-uri {store}   then http://127.0.0.1:5000"


def _table(metrics: dict[str, Any]) -> Any:
    from rich.table import Table

    baseline = metrics.get("baseline")
    classes = ClassMap.read(Path(CLASS_MAP))
    headline, per_class = HEADLINE[classes.task], CLASS_SCORE_SHOWN[classes.task]
    title = f"{metrics['num_images']} {metrics['split']} images" + (", synthetic" if metrics["synthetic"] else "")
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("class", footer=_words(headline))
    table.add_column(f"adapted {_words(per_class)}", justify="right", footer=percent(metrics[headline]))
    if baseline:
        table.add_column("from scratch", justify="right", footer=percent(baseline[headline]))
        table.add_column("gain", justify="right", footer=points(metrics[headline], baseline[headline]))
    for name in classes.names:
        value = metrics[per_class][name]
        row = [name, percent(value)]
        if baseline:
            row += [percent(baseline[per_class][name]), points(value, baseline[per_class][name])]
        table.add_row(*row)
    return table


def _files(files: Sequence[ExportedFile]) -> Any:
    """The forms that the model was exported in, one a row."""
    from rich.table import Table

    table = Table(title="Exported files", caption=legend(files), title_justify="left", caption_justify="left")
    for place, column in enumerate(HEAD):
        table.add_column(column, justify="right" if place else "left")
    for file in files:
        table.add_row(*file.cells())
    return table


def _words(score: str) -> str:
    return score.replace("_", " ").replace("iou", "IoU")


def _notes(metrics: dict[str, Any]) -> list[str]:
    notes = []
    if metrics.get("selected_on_this_split"):
        notes.append("Note       the best epoch was selected on this very split: expect less on new images")
    measured = MEASURED / "export.json"
    latency = read_json(measured) if measured.is_file() else {}
    if "onnx_ms" in latency:
        onnx, eager = latency["onnx_ms"], latency["eager_ms"]
        notes.append(f"Latency    {onnx:.1f} ms an image in ONNX Runtime, {eager:.1f} ms in torch (one thread)")
    return notes
