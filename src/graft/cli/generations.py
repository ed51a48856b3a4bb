"""The command `graft generations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app
from graft.cli.registered import PANEL, Name, open_registry

if TYPE_CHECKING:
    from graft.commands.generations.matrix import Matrix
    from graft.provenance.tracking.mlflow_store import MlflowClient

MOST_FALLS = 5


@app.command(rich_help_panel=PANEL)
def generations(
    name: Name = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the last version; the candidate if left out.")
    ] = None,
) -> None:
    """Show what a model and those it grew out of know of each delivery: what was learnt, and what was forgotten."""
    store, name = open_registry(name)
    tell_generations(store, name, version)


def tell_generations(store: MlflowClient, name: str, number: int | None) -> None:
    """Prints the matrix of a line of versions, and writes its page, here and with the run of the last."""
    from graft.commands.generations.generations_page import write_page
    from graft.commands.generations.trace import trace_generations
    from graft.provenance.promotion.promote import find_judged
    from graft.provenance.tracking import mlflow_store

    matrix = trace_generations(store, name, number)
    if not matrix.generations:
        typer.echo("\n".join(matrix.notes))
        return
    print_matrix(matrix)
    page = write_page(
        matrix, f"{name}, {len(matrix.generations)} generations to version {matrix.generations[-1].version}"
    )
    if run := find_judged(store, name, number).run_id:
        with mlflow_store.explain_refusals():
            store.log_artifact(run, str(page), "generations")
    typer.echo(f"as a page: {page}, and with the version in MLflow")


def print_matrix(matrix: Matrix) -> None:
    """Prints the matrix, what is said of it, and the notes."""
    from rich.console import Console
    from rich.table import Table

    def shown(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{value:{sign}.4f}"

    headline = matrix.headline.replace("_", " ").replace("iou", "IoU")
    typer.echo(f"{headline} on the test images of each delivery")
    table = Table("version", *matrix.deliveries)
    for one in matrix.generations:
        table.add_row(str(one.version), *(shown(one.scores.get(delivery)) for delivery in matrix.deliveries))
    table.add_section()
    table.add_row("forgotten", *(shown(matrix.forgetting(delivery), "+") for delivery in matrix.deliveries))
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 100)
    console.print(table)
    for word, value, sign in (
        ("backward transfer", matrix.backward_transfer, "+"),
        ("plasticity", matrix.plasticity, ""),
    ):
        if value is not None:
            typer.echo(f"{word}: {shown(value, sign)}")
    _print_falls(matrix)
    for note in matrix.notes:
        typer.echo(note)


def _print_falls(matrix: Matrix) -> None:
    """Prints the classes that fell furthest, each on the delivery where it did."""
    from graft.provenance.tracking.pipeline_run import SHOWN_BY_CLASS

    fallen = [fall for fall in matrix.class_falls() if fall.forgotten > 0][:MOST_FALLS]
    score = SHOWN_BY_CLASS[matrix.headline].replace("iou", "IoU").replace("_", " ")
    for fall in fallen:
        moved = f"{score} {fall.best:.4f} in version {fall.version}, {fall.last:.4f} now"
        typer.echo(f"forgotten of class {fall.class_name} on {fall.delivery}: {fall.forgotten:.4f} ({moved})")
