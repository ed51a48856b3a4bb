"""The command `graft label-next`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app
from graft.cli.registered import check_place, download
from graft.provenance.stages import EXPORTED, TRAIN


@app.command("label-next")
def label_next(
    num: Annotated[int, typer.Argument(min=1, help="Number of images to choose.")],
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    model: Annotated[str, typer.Option(help="A folder, or models:/NAME@ALIAS, or models:/NAME/VERSION.")] = EXPORTED,
    out: Annotated[Path, typer.Option(help="Folder for the chosen images and what is proposed for them.")] = Path(
        "labels_next"
    ),
    format: Annotated[
        str | None, typer.Option(help="labelme, cvat or coco; for classification csv, labelme or cvat.")
    ] = None,
    shapes: Annotated[
        str,
        typer.Option(help="Form of a proposed mask: polygons, or masks, which cvat and coco take pixel by pixel."),
    ] = "polygons",
) -> None:
    """Choose the images most worth labelling, and hand them to a labelling tool with what the model proposes."""
    from graft.commands.label_next import label_next as choose_and_write
    from graft.deployment.labelling.feature_model import open_feature_model
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.params.yaml_tree import dump_tree
    from graft.provenance.audit.exported_folder import refuse_changed
    from graft.provenance.seen_images import seen_images

    check_place(model)
    folder = download(model) if is_address(model) else Path(model)
    doubt = None if is_address(model) else refuse_changed(folder)
    see, classes = open_feature_model(folder)
    labelled = Path(TRAIN) if Path(TRAIN).is_dir() else None
    known = seen_images(model)
    chosen = choose_and_write(
        num, images, see, classes, out, tool=format, shapes=shapes, known=known, labelled=labelled
    )
    source = dump_tree(chosen.handover.source, flow=True).strip()
    typer.echo(chosen)
    typer.echo(f"Label them, in {out}: {chosen.handover.opening}")
    typer.echo(f"Then {chosen.handover.returning}; ingest reads that with\n  source: {source}")
    if doubt:
        warn(doubt)
