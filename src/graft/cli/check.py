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
    from graft.params.params_file import PARAMS_FILE, load_params
    from graft.params.recipes import insert_missing
    from graft.provenance.deliveries import refuse_other_order

    if file == PARAMS_FILE:
        check_project()
    if fix:
        for line in insert_missing(file):
            typer.echo(line)
    remarks = check_file(file, here=here, memory=MEMORY if Path("dvc.yaml").is_file() else None)
    if file == PARAMS_FILE:
        refuse_other_order(load_params(file).ingest.names)
    for remark in remarks:
        warn(remark)
    typer.echo(f"{file}: everything is in order")
