"""The command `graft doctor`."""

from __future__ import annotations

import typer

from graft.cli import app, check_project


@app.command()
def doctor() -> None:
    """Say what this machine, environment and workspace are, what is wrong with them and how to fix it."""
    check_project()
    from graft.commands.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(str(finding))
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wrong:
        typer.echo(f"graft: {wrong} wrong; fix the first one first", err=True)
        raise typer.Exit(2)
