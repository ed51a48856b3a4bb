"""The command `graft predict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from graft.cli import app
from graft.cli.registered import check_place, download, name_version
from graft.foundation.errors import GraftError
from graft.provenance.stages import EXPORTED

if TYPE_CHECKING:
    from graft.deployment.video.clip_files import TableForm
    from graft.deployment.video.clip_paths import ClipPaths

TABLE_FORMS = ("csv", "parquet")


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders, globs; videos; addresses as rtsp://HOST/PATH.")],
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
    sequence: Annotated[
        bool, typer.Option("--sequence", help="Folders of images are videos, in natural order.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, max=1000, help="Frames per second of such a folder; 25 if not given.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Of videos also write masks, lossless (FFV1, .mkv).")] = False,
    shares: Annotated[
        str | None, typer.Option(help="Of videos also write class shares by frame: csv or parquet.")
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="Average probabilities of videos over time; weight of the past."),
    ] = None,
) -> None:
    """Predict masks (index PNG and overlay) or labels (CSV) for images of any size, and videos."""
    from graft.deployment.video.clip_paths import find_clips
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.provenance.audit.exported_folder import refuse_changed

    folder, doubt = Path(model), None
    check_place(model)
    for_clips = {"--masks": masks, "--shares": shares, "--smooth": smooth is not None}
    for_images = {"--beside": beside, "--confidence": confidence, "--log": log}
    _check_form(shares)
    found = find_clips(images, out, sequence_rate=_rate_of_sequences(rate) if sequence else None)
    _check_use(for_clips if not found.clips else {}, "videos, streams and sequences")
    for_sequences = {"--sequence": sequence, "--rate": rate is not None} if not found.has_sequences else {}
    _check_use(for_sequences, "folders of images" if sequence else "folders of images with --sequence")
    _check_use(for_images if not found.others else {}, "images")
    if is_address(model):
        folder = download(model)  # and compared with what was registered
    else:
        doubt = refuse_changed(folder)
    if found.clips:
        _predict_clips(found, folder, out, target, masks=masks, shares=shares, smooth=smooth)
    if found.others:
        version = name_version(model) if log else ""
        _predict_images(
            found.others, folder, out, beside or (), target, confidence=confidence, log=log, version=version
        )
    if doubt:
        warn(doubt)


def _predict_images(
    paths: Sequence[str],
    folder: Path,
    out: Path,
    beside: Sequence[str],
    target: str,
    *,
    confidence: bool,
    log: Path | None,
    version: str,
) -> None:
    from graft.deployment.prediction_files import predict_files
    from graft.params.yaml_tree import dump_tree

    summary = predict_files(paths, folder, out, beside, confidence=confidence, log=log, version=version, target=target)
    typer.echo(summary)
    if summary.log:
        source = dump_tree(summary.log.source(), flow=True).strip()
        typer.echo(
            "When a person has corrected predictions and written train into their lines, ingest reads them with\n"
            f"  source: {source}"
        )


def _predict_clips(
    found: ClipPaths, folder: Path, out: Path, target: str, *, masks: bool, shares: str | None, smooth: float | None
) -> None:
    from graft.deployment.video.clip_prediction import ClipOptions, predict_clips

    options = ClipOptions(masks=masks, shares=cast("TableForm | None", shares), smooth=smooth)
    predict_clips(found, folder, out, options, target=target, tell=typer.echo)


def _rate_of_sequences(rate: float | None) -> Fraction:
    from graft.data.video.containers import USUAL_RATE

    return USUAL_RATE if rate is None else Fraction(rate).limit_denominator(1001)


def _check_form(shares: str | None) -> None:
    if shares is not None and shares not in TABLE_FORMS:
        raise GraftError(
            f"no table is called {shares!r}", where="--shares", rule=f"it is one of {', '.join(TABLE_FORMS)}"
        )


def _check_use(options: Mapping[str, object], kind: str) -> None:
    if used := [name for name, value in options.items() if value]:
        what, them = ("is", "it") if len(used) == 1 else ("are", "them")
        raise GraftError(
            f"{' and '.join(used)} {what} for {kind}, and none is named here",
            remedy=f"leave {them} out, or name {kind}",
        )
