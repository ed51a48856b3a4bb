"""The command `graft start`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project


@app.command()
def start(
    folder: Annotated[Path, typer.Argument(help="Folder of your images and of what was said about them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Write params.yaml without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace values of your own too; they are kept in a copy.")
    ] = False,
) -> None:
    """Look at a folder, say what it is, and write a params.yaml that begins with it."""
    from graft.commands.start.looking import look
    from graft.params.recipes import holds, refuse_own_values, use

    check_project()
    seen = look(folder)
    recipe = seen.proposals[0].recipe
    for line in seen.lines():
        typer.echo(line)
    if not holds(recipe, seen.changes):
        refuse_own_values(f"graft start {folder} --force", allowed=force)
    if yes or typer.confirm("Write params.yaml so?", default=True):
        typer.echo(use(recipe, force=force, changes=seen.changes))
        typer.echo("Next: correct what looks wrong, which ingest will refuse" if seen.problems else "Next: make repro")
