"""The command `graft check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project

MEMORY = Path("build/checked.json")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The params file.")] = Path("params.yaml"),
    fix: Annotated[bool, typer.Option("--fix", help="Insert the documented value of each missing key.")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="The stages shall run here: a device must be there, too.")
    ] = False,
) -> None:
    """Validate the whole params file and every choice in it, without running anything."""
    from graft.foundation.progress import warn
    from graft.params.examination import check_file
    from graft.params.params_file import PARAMS_FILE
    from graft.params.recipes import insert_missing

    if file == PARAMS_FILE:
        check_project()
    if fix:
        for line in insert_missing(file):
            typer.echo(line)
    for remark in check_file(file, here=here, memory=MEMORY if Path("dvc.yaml").is_file() else None):
        warn(remark)
    typer.echo(f"{file}: everything is in order")
