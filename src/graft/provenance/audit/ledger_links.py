"""The ledger of promotions: the server's chain, its copy in git, and where the alias points."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Checked
from graft.provenance.audit.version_pages import check_pages
from graft.provenance.promotion import ledger
from graft.provenance.promotion.history import open_intent
from graft.provenance.tracking.registry import find_version


def check_ledger(client: Any, name: str, copy: Path = ledger.COPY, model: str | None = None) -> Iterator[Checked]:
    """Whether the ledger of a registered model is whole, its copy agrees, and the versions are what it says.

    Args:
        client: The server.
        name: Of the registered model.
        copy: The copy in git.
        model: The digest of the model that is audited: a version that held it must not be gone.
    """
    try:
        entries = ledger.read(client, name)
    except GraftError as error:
        yield Checked(BROKEN, f"ledger of {name}", error.what)
        return
    problems = ledger.verify(entries)
    yield from (Checked(BROKEN, f"ledger of {name}", problem) for problem in problems)
    if not entries:
        yield Checked(MISSING, f"ledger of {name}", "nothing was promoted yet")
    elif not problems:
        yield Checked(VERIFIED, f"ledger of {name}", f"{len(entries)} entries, each follows the one before")
    yield from _check_copy(entries, name, copy)
    yield _check_champion(client, entries, name)
    yield from check_pages(client, entries, name, model)


def promoted_digest(client: Any, name: str, number: int | None, copy: Path = ledger.COPY) -> str | None:
    """The digest of the model that the ledger, or else its copy, has as a version, or as the champion (None)."""
    for read in (partial(ledger.read, client, name), partial(ledger.read_copy, copy)):
        with contextlib.suppress(GraftError):
            confirmed = [one for one in read() if one.name == name and one.phase == "confirmed"]
            if found := [one.model_digest for one in confirmed if number in (None, one.version)]:
                return found[-1]
    return None


def _check_copy(entries: list[ledger.Entry], name: str, copy: Path) -> Iterator[Checked]:
    what = f"{copy}, {name}"
    try:
        ours = [entry for entry in ledger.read_copy(copy) if entry.name == name]
    except (GraftError, UnicodeDecodeError) as error:
        yield Checked(BROKEN, what, error.what if isinstance(error, GraftError) else "not UTF-8 text")
        return
    if problems := ledger.missing_on_server(entries, ours, name):
        yield Checked(BROKEN, what, problems[0])
    elif len(ours) < len(entries):
        yield Checked(MISSING, what, f"{len(entries) - len(ours)} entries of the server are not in it; graft champion")
    elif entries:
        yield Checked(VERIFIED, what, "as on the server")


def _check_champion(client: Any, entries: list[ledger.Entry], name: str) -> Checked:
    confirmed, intent = [entry for entry in entries if entry.phase == "confirmed"], open_intent(entries)
    address = ModelAddress(name, alias=CHAMPION)
    live, what = find_version(client, address), str(address)
    if intent and live and int(live.version) == intent.version:
        return Checked(MISSING, what, f"version {intent.version}, not confirmed yet: graft champion finishes it")
    if not confirmed:
        status = BROKEN if live else MISSING
        reason = f"version {live.version}, which nobody promoted" if live else "no champion yet"
        return Checked(status, what, reason)
    number = confirmed[-1].version
    if find_version(client, ModelAddress(name, number)) is None:
        return Checked(BROKEN, what, f"version {number} is the champion of the ledger, and was deleted")
    if live is None or int(live.version) != number:
        found = "nowhere" if live is None else f"at version {live.version}"
        return Checked(BROKEN, what, f"points {found}, but the ledger says version {number}: moved without graft")
    return Checked(VERIFIED, what, f"version {number}, as the ledger says")
