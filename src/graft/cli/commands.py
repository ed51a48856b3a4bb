"""Commands beside the stages: check, mend, pin, publish, predict, summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project
from graft.cli.registered import downloaded
from graft.provenance.stages import EXPORTED


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The params file.")] = Path("params.yaml"),
    fix: Annotated[bool, typer.Option("--fix", help="Insert the documented value of each missing key.")] = False,
) -> None:
    """Validate the whole params file and every choice in it, without running anything."""
    from graft.params.params_file import PARAMS_FILE, check_file
    from graft.params.recipes import insert_missing

    if file == PARAMS_FILE:
        check_project()
    if fix:
        for line in insert_missing(file):
            typer.echo(line)
    check_file(file)
    typer.echo(f"{file}: everything is in order")


@app.command()
def mend() -> None:
    """Set aside a dvc.lock that a killed dvc left cut off; the next dvc repro brings finished stages back."""
    from graft.provenance.repair import set_aside_damaged_lock

    check_project()
    typer.echo(set_aside_damaged_lock() or "nothing to mend")


@app.command()
def pin() -> None:
    """Write what pins pretrain_load.source (version, revision, sha256) into params.yaml."""
    from graft.commands.pin import pin as pin_weights

    check_project()
    for line in pin_weights() or ["pretrain_load.source needs no pinning, or is pinned"]:
        typer.echo(line)


@app.command()
def publish() -> None:
    """Complete MLflow from the records of this workspace; safe to repeat."""
    from graft.provenance.tracking import mlflow_store
    from graft.provenance.tracking import publish as publishing

    check_project()
    if mlflow_store.is_off():
        typer.echo("GRAFT_TRACKING=off: nothing is published")
        return
    typer.echo(publishing.publish())


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    out: Annotated[Path, typer.Option(help="Folder for masks and overlays, or labels.csv.")],
    model: Annotated[str, typer.Option(help="A folder, or models:/NAME@ALIAS, or models:/NAME/VERSION.")] = EXPORTED,
    beside: Annotated[
        list[str] | None, typer.Option(help="A file that follows each image as channels: {dir}/../depth/{stem}.png")
    ] = None,
) -> None:
    """Predict masks (index PNG and overlay) or labels (CSV) for images of any size."""
    from graft.deployment.prediction_files import predict_files
    from graft.provenance.audit.exported_folder import refuse_changed

    folder, doubt = Path(model), None
    if model.startswith("models:/"):
        from graft.provenance.tracking import mlflow_store

        if mlflow_store.store_uri() == mlflow_store.DEFAULT_STORE:
            check_project()
        folder = downloaded(model)  # and compared with what was registered
    else:
        doubt = refuse_changed(folder)
    typer.echo(predict_files(images, folder, out, beside or ()))
    if doubt:
        typer.echo(f"graft: warning: {doubt}", err=True)


@app.command()
def summary() -> None:
    """The result of the last run: scores, gain over training from scratch, latency, where the report is."""
    from graft.commands.summary import print_summary

    check_project()
    print_summary()
