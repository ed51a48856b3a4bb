"""The command `graft drift`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import REFUSED, app
from graft.cli.registered import check_place, download
from graft.provenance.stages import EXPORTED

if TYPE_CHECKING:
    from graft.commands.drift.drift import Drift


@app.command()
def drift(
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs; no labels are needed.")],
    model: Annotated[str, typer.Option(help="A folder, or models:/NAME@ALIAS, or models:/NAME/VERSION.")] = EXPORTED,
    out: Annotated[Path, typer.Option(help="Folder for the page and the same as JSON.")] = Path("reports/drift"),
    false_alarms: Annotated[
        float, typer.Option(help="Chance at which anything is said to have moved where nothing has.")
    ] = 0.05,
) -> None:
    """Say whether new images are still like those a model was scored on; exit 3 if something moved."""
    from graft.commands.drift.drift import find_drift
    from graft.commands.drift.drift_page import write_page
    from graft.commands.drift.verdict import RULE, State
    from graft.foundation.errors import GraftError
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.provenance.audit.exported_folder import refuse_changed

    check_place(model)
    folder = download(model) if is_address(model) else Path(model)
    doubt = None if is_address(model) else refuse_changed(folder)
    found = find_drift(images, folder, out, false_alarms)
    page = write_page(found, model, out)
    _print_table(found)
    typer.echo(f"{found.verdict.state}" + (f" ({', '.join(found.verdict.moved)})" if found.verdict.moved else ""))
    lines = [found.verdict.undecided, f"Rule: {RULE}." if found.verdict.moved else "", f"Page: {page}"]
    lines += [f"Skipped: {found.skipped}"] if found.skipped else []
    typer.echo("\n".join(line for line in lines if line))
    if doubt:
        warn(doubt)
    if found.problems:
        raise GraftError.of_all(
            f"{len(found.files)} images were compared; these could not be read",
            found.problems,
            remedy="fix these files, or leave them out",
        )
    if found.verdict.state is not State.NOTHING:
        sys.exit(REFUSED)


def _print_table(found: Drift) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(found.files):,} new images, {len(found.reference.digests):,} of the reference")
    table.title_justify = "left"
    for heading in ("measure", "before", "now", "how much", "p", "moved"):
        table.add_column(heading, overflow="fold")
    for one in found.movements:
        medians = ("–" if value is None else f"{value:.3g}" for value in (one.before, one.now))
        name = one.name.replace("_", " ")
        table.add_row(name, *medians, one.said, f"{one.p_value:.2g}", "yes" if one.moved else "no")
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 120)
    console.print(table)
