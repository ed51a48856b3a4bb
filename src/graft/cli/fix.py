"""The command `graft fix`, which older scripts call `graft mend`."""

from __future__ import annotations

import typer

from graft.cli import app, check_project


@app.command("mend", hidden=True)
@app.command()
def fix() -> None:
    """Set aside a dvc.lock that was cut off, and bring models/none back; dvc repro does the rest."""
    from graft.provenance.repair import bring_back_no_model, set_aside_damaged_lock

    check_project()
    done = [line for line in (set_aside_damaged_lock(), bring_back_no_model()) if line]
    typer.echo("\n".join(done) or "nothing to fix")
