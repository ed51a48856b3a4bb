"""The command `graft promote`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import REFUSED, app
from graft.cli.registered import PANEL, Name, Reason, open_registry

if TYPE_CHECKING:
    from graft.provenance.promotion.gate import GateRule


@app.command(rich_help_panel=PANEL)
def promote(
    name: Name = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the version; the candidate if left out.")
    ] = None,
    override: Annotated[bool, typer.Option("--override", help="Promote though a rule fails; needs --reason.")] = False,
    reason: Reason = "",
) -> None:
    """Make the candidate the champion if every rule of promotion in params.yaml holds; exit 3 if one does not."""
    from graft.foundation.errors import GraftError

    if override and not reason.strip():
        raise GraftError("--override needs --reason", rule="an override is recorded and shown for ever")
    store, name = open_registry(name)
    from graft.models.address import CHAMPION, ModelAddress
    from graft.params.params_file import load_params
    from graft.provenance.promotion.promote import promote as promote_version

    decision = promote_version(store, name, load_params(), number=version, reason=reason.strip(), override=override)
    if not decision.rules:
        typer.echo(f"nothing to do: version {decision.version} of {name} is the champion already")
        return
    _print_table(f"{name} version {decision.version}", decision.rules)
    if decision.page is not None:
        typer.echo(f"image by image: {decision.page}, and with the version in MLflow")
    if decision.intent is None:
        typer.echo(f"refused: version {decision.version} is not promoted; the table is on its page in MLflow")
        sys.exit(REFUSED)
    done = "promoted in spite of the gate" if decision.intent.kind == "override" else "promoted"
    address = ModelAddress(name, alias=CHAMPION)
    typer.echo(f"{done}: {address} is version {decision.version}; commit ledger.jsonl")


def _print_table(title: str, rules: list[GateRule]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("rule", "value", "bound", "verdict"):
        table.add_column(heading, overflow="fold")
    for rule in rules:
        table.add_row(rule.rule, rule.value, rule.bound, rule.verdict)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 120)
    console.print(table)
