"""The command `graft summary`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project
from graft.cli.registered import check_place, download


@app.command()
def summary(
    oracle: Annotated[
        str | None,
        typer.Option(
            help="A model that learnt from labels of all domains, to compare with by domain: models:/NAME@ALIAS, or "
            "the folder of its evaluation or export."
        ),
    ] = None,
) -> None:
    """Show the result of the last run: scores, gain over training from scratch, latency, the place of the report."""
    from graft.commands.summary import print_summary
    from graft.models.address import is_address

    check_project()
    if oracle is None:
        print_summary()
        return
    check_place(oracle)
    print_summary(download(oracle) if is_address(oracle) else Path(oracle))
