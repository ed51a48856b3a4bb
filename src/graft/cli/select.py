"""The command `graft select`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app, check_project
from graft.cli.registered import download

if TYPE_CHECKING:
    from graft.selection.select import Selection

FOLDER = Path("reports/selection")


@app.command()
def select(
    candidates: Annotated[
        Path | None, typer.Argument(help="A YAML file, or a folder with candidates.yaml; pipeline/candidates.yaml.")
    ] = None,
    verify: Annotated[int, typer.Option(min=0, help="Number of the best to fine-tune and compare.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each such fine-tuning.")] = 3,
    scores: Annotated[str, typer.Option(help="Names separated by commas; all if left out.")] = "",
    images: Annotated[int, typer.Option(min=2, help="Most training images to look at.")] = 512,
    pixels: Annotated[
        int | None, typer.Option(min=1, help="Pixels of each class in an image; by default 8,000 pixels in all.")
    ] = None,
) -> None:
    """Rank pretrained models on the training data that is here, without fine-tuning, and recommend one."""
    check_project()
    from graft.params.params_file import load_params
    from graft.selection import candidates as listing
    from graft.selection import mlflow_run, verification
    from graft.selection.select import resolve_scores
    from graft.selection.select import select as score

    params = load_params()
    chosen = resolve_scores([name.strip() for name in scores.split(",") if name.strip()], params.task)
    listed = listing.read_candidates(candidates or listing.DOCUMENTED, params.task)
    if verify:
        verification.Workspace().check()
    selection = score(listed, chosen, params, download, num_images=images, pixels_per_class=pixels)
    _report(selection)
    if verify:
        from pipeline.fine_tune import fine_tune
        from pipeline.pretrain_load import pretrain_load

        stages = verification.Stages(pretrain_load, fine_tune)
        best, workspace = selection.ordered[:verify], verification.Workspace()
        selection.compare(verification.verify(best, params, epochs, stages, workspace, download=download))
        _report(selection)
    mlflow_run.log_or_warn(selection, FOLDER)
    typer.echo(f"{FOLDER / 'selection.md'} holds the same text, selection.json the data")


def _report(selection: Selection) -> None:
    """Writes the page of the selection and prints it."""
    from graft.selection import page

    page.write_page(selection, FOLDER)
    typer.echo(page.as_text(selection))
