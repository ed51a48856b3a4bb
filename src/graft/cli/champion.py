"""The command `graft champion`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import BROKEN, app
from graft.cli.registered import PANEL, Name, open_registry

if TYPE_CHECKING:
    from graft.provenance.promotion.history import Champion
    from graft.provenance.promotion.ledger import LedgerEntry
    from graft.provenance.tracking.registry import ModelVersion


@app.command(rich_help_panel=PANEL)
def champion(
    name: Name = None,
    from_copy: Annotated[
        bool, typer.Option("--from-copy", help="In a store of your own: begin its ledger with the team's ledger.jsonl.")
    ] = False,
) -> None:
    """Show which version is live, since when, why, and all that the ledger holds; exit 4 if the registry disagrees."""
    store, name = open_registry(name)
    if from_copy:
        from graft.provenance.promotion.beginning import begin_from_copy

        begin_from_copy(store, name)
    from graft.models.address import CHAMPION, ModelAddress
    from graft.provenance.promotion import history, move
    from graft.provenance.promotion.ledger import Unsigned
    from graft.provenance.tracking.registry import find_version

    try:
        entries = move.settle(store, name)
    except Unsigned as error:
        entries = move.read_whole(store, name)
        typer.echo(f"waiting: the last entry is not confirmed. {error}", err=True)
    live = find_version(store, ModelAddress(name, alias=CHAMPION))
    for line in _describe(name, entries):
        typer.echo(line)
    waiting = history.open_intent(entries)
    if waiting and live and int(live.version) == waiting.version:
        return
    if wrong := _disagreement(history.champion(entries), live):
        typer.echo(f"BROKEN: {wrong} behind the ledger's back. graft audit says more", err=True)
        sys.exit(BROKEN)


def _describe(name: str, entries: list[LedgerEntry]) -> list[str]:
    from graft.models.address import CHAMPION, ModelAddress
    from graft.provenance.promotion import history
    from graft.provenance.promotion.frozen_test_set import find_in_force

    standing = history.champion(entries)
    if standing is None:
        return [f"{name} has no champion yet: graft promote"]
    address = ModelAddress(name, alias=CHAMPION)
    lines = [f"{address} is version {standing.version} (model {standing.promoted.model_digest[:12]})"]
    lines += [f"  since     {standing.since}, {standing.moved.kind} by {standing.moved.author}"]
    lines += [f"  why       {standing.moved.reason}"]
    if stated := find_in_force(entries):
        lines += [f"  scored on {stated}"]
    failed = [rule for rule in standing.promoted.rules if rule["verdict"] == "FAILS"]
    lines += [f"  IN SPITE OF  {rule['rule']}: {rule['value']}, asked {rule['bound']}" for rule in failed]
    lines += ["", "history (the ledger, oldest first)"]
    for number, entry in enumerate(entries, 1):
        signed = "signed" if entry.signature else "not signed"
        said = f"{entry.time}  {entry.kind:8}  {entry.phase:9}  version {entry.version}  {entry.author}, {signed}"
        lines.append(f"  {number:3}  {said}" + (f": {entry.reason}" if entry.phase != "confirmed" else ""))
    overrides = history.overrides(entries)
    lines += [f"override: version {one.version}, {one.time}, {one.author}: {one.reason}" for one in overrides]
    return lines


def _disagreement(standing: Champion | None, live: ModelVersion | None) -> str:
    """Says how the version behind the alias differs from the ledger's champion; empty where it does not."""
    from graft.provenance.tracking.mlflow_store import MODEL_DIGEST

    expected = standing.version if standing else None
    found = int(live.version) if live else None
    if found != expected:
        said = f"the alias champion points at {found or 'nothing'}, the ledger says {expected or 'nothing'}"
        return f"{said}: it was moved"
    if standing is None or live is None:
        return ""
    model, promoted = live.tags.get(MODEL_DIGEST, "nothing"), standing.promoted.model_digest
    if model == promoted:
        return ""
    return f"version {found} holds the model {model[:12]}, the ledger says {promoted[:12]}: it was exchanged"
