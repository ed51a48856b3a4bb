"""The command `graft audit`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from graft.cli import BROKEN, app, check_project
from graft.provenance.stages import EXPORTED


@app.command()
def audit(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")] = EXPORTED,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also run the pipeline of the recorded commit again and compare.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only what is not verified, with the remedy for each kind.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every link of a model's lineage again: files, records, dvc.lock, commits, MLflow, ledger; 4 if broken."""
    from dataclasses import asdict

    from graft.provenance.audit.audit import audit as audited
    from graft.provenance.audit.link import VERIFIED, as_text, worst
    from graft.provenance.audit.remedies import describe_open

    check_project()
    links = audited(model, rebuild)
    if as_json:
        typer.echo(json.dumps([asdict(link) for link in links if not quiet or link.status != VERIFIED], indent=2))
    else:
        typer.echo(describe_open(links) if quiet else as_text(links))
    if worst(links) == "broken":
        raise typer.Exit(BROKEN)
