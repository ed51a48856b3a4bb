"""The command `graft summary`."""

from __future__ import annotations

from graft.cli import app, check_project


@app.command()
def summary() -> None:
    """Show the result of the last run: scores, gain over training from scratch, latency, the place of the report."""
    from graft.commands.summary import print_summary

    check_project()
    print_summary()
