"""The command `graft predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app
from graft.cli.registered import check_place, download, name_version
from graft.provenance.stages import EXPORTED


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    out: Annotated[Path, typer.Option(help="Folder for masks and overlays, or labels.csv.")],
    model: Annotated[str, typer.Option(help="A folder, or models:/NAME@ALIAS, or models:/NAME/VERSION.")] = EXPORTED,
    beside: Annotated[
        list[str] | None, typer.Option(help="A file that follows each image as channels: {dir}/../depth/{stem}.png")
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also write how certain the class of each pixel is, as grey PNG.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(help="Also append each new image and its prediction to this folder, for a delivery.")
    ] = None,
    target: Annotated[str, typer.Option(help="The exported file that predicts, named as in export.targets.")] = "onnx",
) -> None:
    """Predict masks (index PNG and overlay) or labels (CSV) for images of any size."""
    from graft.deployment.prediction_files import predict_files
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.params.yaml_tree import dump_tree
    from graft.provenance.audit.exported_folder import refuse_changed

    folder, doubt = Path(model), None
    check_place(model)
    if is_address(model):
        folder = download(model)  # and compared with what was registered
    else:
        doubt = refuse_changed(folder)
    version = name_version(model) if log else ""
    summary = predict_files(
        images, folder, out, beside or (), confidence=confidence, log=log, version=version, target=target
    )
    typer.echo(summary)
    if summary.log:
        source = dump_tree(summary.log.source(), flow=True).strip()
        typer.echo(
            "When a person has corrected predictions and written train into their lines, ingest reads them with\n"
            f"  source: {source}"
        )
    if doubt:
        warn(doubt)
