"""The command `graft freeze`."""

from __future__ import annotations

from typing import Annotated

import typer

from graft.cli import app
from graft.cli.registered import PANEL, Name, open_registry


@app.command(rich_help_panel=PANEL)
def freeze(
    name: Name = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    version: Annotated[
        int | None, typer.Option(min=1, help="Version whose test split is frozen; the candidate if left out.")
    ] = None,
    set_name: Annotated[
        str | None, typer.Option("--name", help="Name of the test set; that of the one before if left out.")
    ] = None,
) -> None:
    """Make the test split of a version the one that candidate and champion are scored on from now on."""
    from graft.foundation.errors import GraftError

    if not reason.strip():
        raise GraftError("--reason is missing", rule="why a test set was replaced is recorded and shown for ever")
    store, name = open_registry(name)
    from graft.params.params_file import load_params
    from graft.provenance.promotion.freeze import freeze as freeze_test_set

    frozen = freeze_test_set(store, name, load_params(), reason=reason.strip(), number=version, set_name=set_name)
    if frozen.entry is None:
        typer.echo(f"nothing to do: {frozen.test_set} is in force already")
        return
    for row in frozen.entry.rules:
        typer.echo(f"{row['rule']}: {row['value']} (promotion asks {row['bound']})")
    typer.echo(f"frozen: {frozen.test_set}; commit ledger.jsonl, and run dvc push so that the team has its images")
