"""Moves of the champion: the intent is written to the ledger, the alias moves, the ledger confirms.

Killed between two steps it is finished by whichever command comes next, so that the old or the new champion is fully
in force. Aliases are set without comparing, hence the ledger decides: of two intents that follow the same entry one
wins, and only the winner touches the alias.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.errors import GraftError
from graft.foundation.git import git_text
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance.promotion import copy_origin, history, ledger, verdict
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.tracking import mlflow_store, model_versions, registry

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

CANNOT = "the version is gone, or holds another model"


def settle(store: MlflowClient, name: str) -> list[LedgerEntry]:
    """Reads the ledger of a model after finishing, or voiding, what a killed command left open.

    Raises:
        ledger.Unsigned: There is something to finish, the ledger is signed, and no key is configured.
        GraftError: The ledger is damaged: every problem is listed.
    """
    entries = read_whole(store, name)
    intent = history.open_intent(entries)
    if intent is not None:
        finish(store, intent)
        entries = read_whole(store, name)
    write_copy(entries)
    return entries


def read_whole(store: MlflowClient, name: str) -> list[LedgerEntry]:
    """Reads the ledger of a model as the server holds it now, and verifies it.

    Raises:
        GraftError: It is damaged, the copy in git holds entries that the server lost, or is of another store.
    """
    entries = ledger.read(store, name)
    copy = ledger.read_copy(ledger.COPY)
    copy_origin.refuse_other_copy(entries, copy, name, mlflow_store.store_uri())
    problems = ledger.verify(entries) + ledger.compare_copy(entries, copy, name)
    if problems:
        raise GraftError.of_all(f"the ledger of {name} is damaged", problems, remedy=ledger.DAMAGED)
    return entries


def move(store: MlflowClient, intent: LedgerEntry) -> LedgerEntry:
    """Makes a version the champion; returns the intent as the ledger holds it.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
        GraftError: Somebody else was faster, or the version was deleted meanwhile: nothing was changed.
    """
    written = ledger.append(store, intent.name, intent)
    finish(store, written)
    entries = read_whole(store, intent.name)
    write_copy(entries)
    if not any(entry.follows == written.digest and entry.phase == "confirmed" for entry in entries):
        raise GraftError(f"version {intent.version}: {CANNOT}", where=intent.name, remedy="look at graft champion")
    return written


def finish(store: MlflowClient, intent: LedgerEntry) -> None:
    """Carries out an intent: writes the verdict, moves the alias and confirms; voids it where the version is gone.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
    """
    entries = ledger.read(store, intent.name)
    ledger.refuse_unsigned(intent.name, entries)
    version = registry.find_version(store, ModelAddress(intent.name, intent.version))
    possible = version is not None and version.tags.get(mlflow_store.MODEL_DIGEST) == intent.model_digest
    if possible and version is not None:
        if intent.kind != "rollback" and intent == history.open_intent(entries):  # else it was written long ago
            verdict.write(store, version, verdict.Verdict.of(intent), overridden=intent.kind == "override")
        registry.point(store, intent.name, CHAMPION, intent.version)
    ending = replace(
        intent,
        phase="confirmed" if possible else "void",
        reason=intent.reason if possible else CANNOT,
        rules=(),
        test_set=None,
        author=author(),
        time=now(),
        follows=intent.digest,
    )
    with contextlib.suppress(ledger.Late):  # another command finished the same intent
        ledger.append(store, intent.name, ending)
    _follow_the_ledger(store, intent.name)


def intent_to(
    kind: str,
    version: tuple[int, str],
    entries: Sequence[LedgerEntry],
    *,
    name: str,
    reason: str,
    rules: Sequence[dict[str, str]] = (),
    test_set: dict[str, Any] | None = None,
) -> LedgerEntry:
    """Builds the intent to make a version (number, model digest) the champion, to follow `entries`."""
    standing = history.champion(entries)
    return LedgerEntry(
        kind=kind,
        phase="intent",
        name=name,
        version=version[0],
        model_digest=version[1],
        previous_version=standing.version if standing else None,
        reason=reason,
        rules=tuple(rules),
        author=author(),
        time=now(),
        follows=entries[-1].digest if entries else "",
        test_set=test_set,
    )


def rollback(store: MlflowClient, name: str, reason: str) -> LedgerEntry:
    """Returns to the champion before the one in force, after comparing its files with the digest in the ledger.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
        GraftError: There is none before, its files were changed, or somebody else was faster.
    """
    import tempfile

    entries = settle(store, name)
    ledger.refuse_unsigned(name, entries)
    standing = history.champions(entries)
    if len(standing) < 2:
        there = f"version {standing[-1].version} is the first champion" if standing else "there is no champion"
        raise GraftError(f"nothing to go back to: {there}", where=name, remedy="look at graft champion")
    back = standing[-2]
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        download_verified(name, back.version, back.promoted.model_digest, Path(folder))
    version = (back.version, back.promoted.model_digest)
    return move(store, intent_to("rollback", version, entries, name=name, reason=reason))


def download_verified(name: str, number: int, model_digest: str, into: Path) -> Path:
    """Downloads the exported folder of a version, and compares it with the digest in the ledger.

    Raises:
        GraftError: The version is gone, or its files were exchanged.
    """
    from graft.foundation.content import digest_of

    address = ModelAddress(name, number)
    folder = model_versions.download_model(str(address), into)
    found = digest_of(folder)
    if found != model_digest:
        raise GraftError(
            f"version {number} is not the model that was promoted",
            where=address,
            rule=f"the ledger says {model_digest}, the files have {found}",
            remedy="do not use it; graft audit names what was changed",
        )
    return folder


def write_copy(entries: Sequence[LedgerEntry]) -> None:
    """Brings `ledger.jsonl` up to date, one process at a time."""
    from filelock import FileLock

    Path(".locks").mkdir(exist_ok=True)
    with FileLock(".locks/ledger.lock"):
        ledger.write_copy(ledger.COPY, entries)


def author() -> str:
    """The person at work: their name in git, or that of the account."""
    found = [git_text("config", key) or "" for key in ("user.name", "user.email")]
    if found[0] and found[1]:
        return f"{found[0]} <{found[1]}>"
    if said := found[0] or found[1]:
        return said
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container need not have a name
        return f"user {os.getuid()}"


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _follow_the_ledger(store: MlflowClient, name: str) -> None:
    """Points the alias at the ledger's champion: a command that slept between two steps may have set it late."""
    entries = ledger.read(store, name)
    standing = history.champion(entries)
    if standing is None or history.open_intent(entries):
        return
    there = registry.find_version(store, ModelAddress(name, alias=CHAMPION))
    if there is None or int(there.version) != standing.version:
        registry.point(store, name, CHAMPION, standing.version)
