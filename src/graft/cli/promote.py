"""`graft promote`, `graft rollback`, `graft champion`: which version is in force, and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app, check_project

if TYPE_CHECKING:
    from graft.provenance.promotion.gate import Rule
    from graft.provenance.promotion.history import Champion
    from graft.provenance.promotion.ledger import Entry
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion

REFUSED, MOVED_BEHIND = 3, 4
PANEL = "Promotion"
Name = Annotated[str | None, typer.Argument(help="Of the registered model; that of params.yaml if left out.")]
Reason = Annotated[str, typer.Option(help="Why; recorded for ever.")]


@app.command(rich_help_panel=PANEL)
def promote(
    name: Name = None,
    version: Annotated[int | None, typer.Option(min=1, help="The candidate if left out.")] = None,
    override: Annotated[bool, typer.Option("--override", help="Promote though a rule fails; needs --reason.")] = False,
    reason: Reason = "",
) -> None:
    """Make the candidate the champion if every rule of promotion in params.yaml holds; exit 3 if one does not."""
    from graft.foundation.errors import GraftError

    if override and not reason.strip():
        raise GraftError("--override needs --reason", rule="an override is recorded and shown for ever")
    store, name = _opened(name)
    from graft.params.params_file import load_params
    from graft.provenance.promotion.promote import promote as promote_version

    outcome = promote_version(store, name, load_params(), number=version, reason=reason.strip(), override=override)
    _print_table(f"{name} version {outcome.version}", outcome.rules)
    if outcome.intent is None:
        typer.echo(f"refused: version {outcome.version} is not promoted; the table is on its page in MLflow")
        sys.exit(REFUSED)
    done = "promoted in spite of the gate" if outcome.intent.kind == "override" else "promoted"
    typer.echo(f"{done}: models:/{name}@champion is version {outcome.version}; commit ledger.jsonl")


@app.command(rich_help_panel=PANEL)
def rollback(name: Name = None, reason: Reason = "") -> None:
    """Return to the champion before this one, after verifying its bytes."""
    store, name = _opened(name)
    from graft.provenance.promotion import move

    intent = move.rollback(store, name, reason.strip() or "no reason given")
    typer.echo(
        f"rolled back: models:/{name}@champion is version {intent.version}, no longer version "
        f"{intent.previous_version}; commit ledger.jsonl"
    )


@app.command(rich_help_panel=PANEL)
def champion(name: Name = None) -> None:
    """Show which version is live, since when, why, and all that the ledger holds; exit 4 if the registry disagrees."""
    store, name = _opened(name)
    from graft.provenance.promotion import history, move
    from graft.provenance.promotion.ledger import Unsigned
    from graft.provenance.tracking.registry import CHAMPION, version_at

    try:
        entries = move.settled(store, name)
    except Unsigned as error:
        entries = move.whole(store, name)
        typer.echo(f"waiting: the last entry is not confirmed. {error}", err=True)
    there = version_at(store, name, CHAMPION)
    for line in _described(name, entries):
        typer.echo(line)
    waiting = history.open_intent(entries)
    if waiting and there and int(there.version) == waiting.version:
        return
    if wrong := _disagreement(history.champion(entries), there):
        typer.echo(f"BROKEN: {wrong} behind the ledger's back. graft audit says more", err=True)
        sys.exit(MOVED_BEHIND)


def _disagreement(standing: Champion | None, there: ModelVersion | None) -> str:
    """How the version behind the alias is not the ledger's champion; empty where it is."""
    from graft.provenance.tracking.mlflow_store import MODEL_DIGEST

    expected = standing.version if standing else None
    found = int(there.version) if there else None
    if found != expected:
        said = f"the alias champion points at {found or 'nothing'}, the ledger says {expected or 'nothing'}"
        return f"{said}: it was moved"
    if standing is None or there is None:
        return ""
    model, promoted = there.tags.get(MODEL_DIGEST, "nothing"), standing.promoted.model_digest
    if model == promoted:
        return ""
    return f"version {found} holds the model {model[:12]}, the ledger says {promoted[:12]}: it was exchanged"


def _opened(name: str | None) -> tuple[MlflowClient, str]:
    """The store, and the name of the model."""
    from graft.foundation.errors import GraftError
    from graft.params.params_file import load_params
    from graft.provenance.tracking import mlflow_store

    check_project()
    if mlflow_store.is_off():
        raise GraftError("GRAFT_TRACKING=off: there is no registry", remedy="unset GRAFT_TRACKING")
    with mlflow_store.answers_explained():
        store = mlflow_store.client()
    return store, name or f"graft-{load_params().task}"


def _described(name: str, entries: list[Entry]) -> list[str]:
    from graft.provenance.promotion import history

    standing = history.champion(entries)
    if standing is None:
        return [f"{name} has no champion yet: graft promote"]
    lines = [f"models:/{name}@champion is version {standing.version} (model {standing.promoted.model_digest[:12]})"]
    lines += [f"  since     {standing.since}, {standing.moved.kind} by {standing.moved.author}"]
    lines += [f"  why       {standing.moved.reason}"]
    failed = [rule for rule in standing.promoted.rules if rule["verdict"] == "FAILS"]
    lines += [f"  IN SPITE OF  {rule['rule']}: {rule['value']}, asked {rule['bound']}" for rule in failed]
    lines += ["", "history (the ledger, oldest first)"]
    for number, entry in enumerate(entries, 1):
        signed = "signed" if entry.signature else "not signed"
        said = f"{entry.time}  {entry.kind:8}  {entry.phase:9}  version {entry.version}  {entry.author}, {signed}"
        lines.append(f"  {number:3}  {said}" + (f": {entry.reason}" if entry.phase != "confirmed" else ""))
    overridden = history.overrides(entries)
    lines += [f"override: version {one.version}, {one.time}, {one.author}: {one.reason}" for one in overridden]
    return lines


def _print_table(title: str, rules: list[Rule]) -> None:
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
