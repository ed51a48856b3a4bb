"""The command `graft pin`."""

from __future__ import annotations

import typer

from graft.cli import app, check_project


@app.command()
def pin() -> None:
    """Pin pretrain_load.source and teachers: write version, revision and sha256 into params.yaml."""
    from graft.commands.pin import pin as pin_weights

    check_project()
    for line in pin_weights() or ["pretrain_load.source and teachers need no pinning, or are pinned"]:
        typer.echo(line)
