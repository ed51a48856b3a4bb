"""The command `graft rollback`."""

from __future__ import annotations

import typer

from graft.cli import app
from graft.cli.registered import PANEL, Name, Reason, open_registry


@app.command(rich_help_panel=PANEL)
def rollback(name: Name = None, reason: Reason = "") -> None:
    """Return to the champion before this one, after verifying its bytes."""
    store, name = open_registry(name)
    from graft.models.address import CHAMPION, ModelAddress
    from graft.provenance.promotion import move

    intent = move.rollback(store, name, reason.strip() or "no reason given")
    typer.echo(
        f"rolled back: {ModelAddress(name, alias=CHAMPION)} is version {intent.version}, no longer version "
        f"{intent.previous_version}; commit ledger.jsonl"
    )
