"""The command `graft publish`."""

from __future__ import annotations

import typer

from graft.cli import app, check_project


@app.command()
def publish() -> None:
    """Complete MLflow from the records of this workspace; safe to repeat."""
    from graft.provenance.tracking import mlflow_store
    from graft.provenance.tracking.publish import publish as publish_records

    check_project()
    if mlflow_store.is_off():
        typer.echo("GRAFT_TRACKING=off: nothing is published")
        return
    typer.echo(publish_records())
