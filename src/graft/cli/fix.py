"""The command `graft fix`, which older scripts call `graft mend`."""

from __future__ import annotations

import typer

from graft.cli import app, check_project


@app.command("mend", hidden=True)
@app.command()
def fix() -> None:
    """Set aside a dvc.lock that was cut off when dvc was killed; the next dvc repro brings finished stages back."""
    from graft.provenance.repair import set_aside_damaged_lock

    check_project()
    typer.echo(set_aside_damaged_lock() or "nothing to fix")
