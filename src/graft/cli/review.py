"""The command `graft review`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app, check_project
from graft.cli.registered import check_place, download

if TYPE_CHECKING:
    from graft.commands.review.judges import Judge
    from graft.commands.review.review import Review
    from graft.params.sections import Params

FOLDER = Path("reports/review")
MOST_TOLD = 10


@app.command()
def review(
    model: Annotated[
        str | None,
        typer.Option(help="A folder or models:/NAME@ALIAS that judges what it did not learn, in place of folds."),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts of the training images; a model that learns the others judges each.")
    ] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each; those of params.yaml if left out.")] = None,
    shown: Annotated[int, typer.Option(min=1, help="Number of images on the page.")] = 60,
    leave_out: Annotated[
        int, typer.Option(min=0, help="Number of training images, the most doubtful, to leave out: in params.yaml.")
    ] = 0,
) -> None:
    """List the images whose labels models contradict that never saw them, the most doubtful first."""
    check_project()
    from graft.cli.stage_run import hold_lock
    from graft.commands.review import review as command
    from graft.commands.review.judges import left_out_by
    from graft.commands.review.review_page import write_page
    from graft.foundation.class_map import ClassMap, refuse_several_labels
    from graft.inference.runtime import use_runtime
    from graft.params.params_file import PARAMS_FILE, load_params
    from graft.provenance.stages import CLASS_MAP

    params = load_params()
    refuse_several_labels(params.task, "graft review")
    if leave_out:
        left_out_by(params)  # refuses a memory that names no images, before models are trained
    with hold_lock("review"):
        judges = _train_judges(params, folds, epochs) if model is None else [_open_judge(model)]
        classes = ClassMap.read(Path(CLASS_MAP))
        found = command.review(judges, classes, use_runtime(params.runtime))
        FOLDER.mkdir(parents=True, exist_ok=True)
        command.write_table(FOLDER / "review.csv", found.doubts, classes.names)
        write_page(FOLDER / "review.html", found, command.show_doubts(found, classes, shown), classes)
    _tell(found, classes.names)
    if leave_out:
        for line in command.leave_out(found, params, PARAMS_FILE, leave_out):
            typer.echo(line)


def _train_judges(params: Params, folds: int, epochs: int | None) -> Iterable[Judge]:
    from graft.commands.review.judges import FoldStages, check_inputs, train_judges
    from graft.provenance.learnt_images import learnt_by_weights
    from graft.provenance.stages import PRETRAINED
    from pipeline.augment import augment
    from pipeline.fine_tune import fine_tune

    check_inputs()
    learnt = learnt_by_weights(Path(PRETRAINED))
    return train_judges(params, FoldStages(augment, fine_tune), folds, epochs, learnt)


def _open_judge(model: str) -> Judge:
    from graft.commands.review.judges import one_judge
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.provenance.audit.exported_folder import refuse_changed
    from graft.provenance.learnt_images import learnt_images

    check_place(model)
    folder = download(model) if is_address(model) else Path(model)
    if not is_address(model) and (doubt := refuse_changed(folder)):
        warn(doubt)
    return one_judge(folder, learnt_images(model))


def _tell(found: Review, names: tuple[str, ...]) -> None:
    """Prints the first doubts, and where all of them are."""
    for rank, doubt in enumerate(found.doubts[:MOST_TOLD], 1):
        worst = doubt.regions[0]
        size = f", {worst.num_pixels:,} px" if worst.num_pixels > 1 else ""
        typer.echo(f"{rank:>3}  {doubt.id}: {names[worst.given]}, rather {names[worst.suggested]}{size}")
    typer.echo(f"{found}: {FOLDER / 'review.html'} shows them, review.csv lists every region")
