"""The seven stage commands, in one file because each only names its paths and calls `_run`.

Their paths are declared in `dvc.yaml`, their values in `params.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from graft.cli import app, check_project
from graft.cli.registered import download

PANEL = "Stages (run by dvc repro)"
Out = Annotated[Path, typer.Option(help="Folder this stage writes.")]
ClassMapFile = Annotated[Path, typer.Option(help="class_map.json of the interim data.")]
Model = Annotated[Path, typer.Option(help="Folder of the fine-tuned model.")]
Split = Annotated[Path, typer.Option(help="Shards of one split.")]


@app.command(rich_help_panel=PANEL)
def ingest(
    root: Annotated[Path, typer.Option(help="Folder of your images.")],
    out: Out,
    delivery: Annotated[str | None, typer.Option(help="Name of a later delivery; without it, the first.")] = None,
) -> None:
    """Read images, masks and labels of any known format into shards and a manifest."""
    from graft.foundation.errors import GraftError
    from graft.provenance.stages import INGEST, instance_of

    if delivery is None:
        _run(INGEST, {"root": root}, {"out": out})
        return
    try:
        _run(instance_of(delivery), {"root": root}, {"out": out}, lambda _: {"front": f"{delivery}/"})
    except GraftError as error:  # formats speak of ingest.source, whose ever it is
        raise error.at(f"delivery {delivery}" + ("" if error.where is None else f", {error.where}")) from None


@app.command(rich_help_panel=PANEL)
def validate(
    ingested: Annotated[Path, typer.Option(help="Folder with what ingest wrote of each delivery.")],
    interim: Annotated[Path, typer.Option(help="Folder of the data of all deliveries, which this stage writes.")],
    out: Out,
) -> None:
    """Put the deliveries together and judge them; stop when an expectation of severity critical fails."""
    check_project()
    from graft.cli.stage_run import remove_unlisted
    from graft.provenance.stages import DATA_DOCS

    remove_unlisted()
    outputs = {"interim": interim, "out": out}
    _run("validate", {"ingested": ingested}, outputs, lambda _: {"data_docs": DATA_DOCS})


@app.command(rich_help_panel=PANEL)
def augment(
    train: Split,
    unlabelled: Annotated[Path, typer.Option(help="Shards of images without masks or labels; may hold none.")],
    class_map: ClassMapFile,
    validation: Annotated[Path, typer.Option(help="validation.json.")],
    parent: Annotated[Path, typer.Option(help="Folder of the weights that choose a memory; may hold none.")],
    out: Out,
) -> None:
    """Make the training views, their statistics and a preview."""
    inputs = {"train": train, "unlabelled": unlabelled, "class_map": class_map, "validation": validation}
    inputs["parent"] = parent
    _run("augment", inputs, {"out": out})


@app.command("pretrain-load", rich_help_panel=PANEL)
def pretrain_load(
    images: Annotated[Path, typer.Option(help="Shards of images to learn from without labels; may hold none.")],
    class_map: ClassMapFile,
    out: Out,
) -> None:
    """Load pretrained weights into the model and list what was taken."""
    inputs = {"images": images, "class_map": class_map}
    _run("pretrain-load", inputs, {"out": out}, lambda done: {"download": download, "resume": _resume_folder(done)})


@app.command("fine-tune", rich_help_panel=PANEL)
def fine_tune(
    augmented: Annotated[Path, typer.Option(help="Folder of the training views.")],
    val: Split,
    class_map: ClassMapFile,
    pretrained: Annotated[Path, typer.Option(help="Folder of the pretrained weights.")],
    out: Out,
    curves: Annotated[Path, typer.Option(help="Folder of the learning curves.")],
) -> None:
    """Train; an interrupted training resumes where it was."""
    inputs = {"augmented": augmented, "val": val, "class_map": class_map, "pretrained": pretrained}
    _run("fine-tune", inputs, {"out": out, "curves": curves}, _resume_listen_and_download)


@app.command(rich_help_panel=PANEL)
def evaluate(
    images: Split,
    class_map: ClassMapFile,
    model: Model,
    curves: Annotated[Path, typer.Option(help="Folder of the learning curves.")],
    validation: Annotated[Path, typer.Option(help="validation.json.")],
    statistics: Annotated[Path, typer.Option(help="statistics.json of the training views.")],
    out: Out,
) -> None:
    """Score the model on images it has not seen and write the report."""
    inputs = {"images": images, "class_map": class_map, "model": model, "curves": curves}
    _run("evaluate", {**inputs, "validation": validation, "statistics": statistics}, {"out": out})


@app.command(rich_help_panel=PANEL)
def export(
    images: Split,
    calibration: Annotated[Path, typer.Option(help="Shards that 8 bits take ranges from; may hold no images.")],
    scan: Annotated[Path, typer.Option(help="Shards that layers in 8 bits are chosen by; may hold no images.")],
    class_map: ClassMapFile,
    model: Model,
    metrics: Annotated[Path, typer.Option(help="metrics.json of the evaluation.")],
    reference: Annotated[Path, typer.Option(help="reference.parquet of the evaluation.")],
    card: Annotated[Path, typer.Option(help="card.json of the pretrained weights.")],
    out: Out,
) -> None:
    """Write ONNX, prove it equal, write the model card; then publish to MLflow."""
    from graft.provenance.tracking import publish

    inputs = {"images": images, "calibration": calibration, "scan": scan, "class_map": class_map, "model": model}
    inputs |= {"metrics": metrics, "reference": reference, "card": card}
    _run("export", inputs, {"out": out}, lambda _: _measurement_file("export"))
    publish.publish_or_warn()


def _run(
    stage: str,
    inputs: dict[str, Path],
    outputs: dict[str, Path],
    extras: Callable[[str], dict[str, Any]] | None = None,
) -> None:
    import importlib

    check_project()
    from graft.cli.stage_run import run_stage
    from graft.provenance.stages import stage_of

    name = stage_of(stage).name.replace("-", "_")
    run_stage(stage, lambda: getattr(importlib.import_module(f"pipeline.{name}"), name), inputs, outputs, extras)


def _measurement_file(stage: str) -> dict[str, Any]:
    from graft.provenance.stages import MEASURED

    MEASURED.mkdir(parents=True, exist_ok=True)
    return {"measured": MEASURED / f"{stage}.json"}


def _resume_folder(fingerprint: str) -> Path:
    return Path(".resume") / fingerprint


def _resume_listen_and_download(fingerprint: str) -> dict[str, Any]:
    from graft.provenance.tracking import publish

    listen = publish.open_listener("fine-tune", fingerprint)
    extras = {"resume": _resume_folder(fingerprint), "listen": listen, "download": download}
    return extras | _measurement_file("fine-tune")
