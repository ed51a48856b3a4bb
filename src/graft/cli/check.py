"""The command `graft check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project


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
