"""The ledger of promotions: the server's chain, its copy in git, the alias, and the page of each version."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import content_digest
from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check
from graft.provenance.promotion import history, ledger
from graft.provenance.promotion.frozen_test_set import (
    FrozenTestSet,
    TestPart,
    fetch_list,
    find_in_force,
    has_list,
    read_lists,
)
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.promotion.verdict import OVERRIDE_TAG, TAGS, Verdict, shown_on
from graft.provenance.tracking.mlflow_store import MODEL_DIGEST
from graft.provenance.tracking.registry import find_version, find_versions

if TYPE_CHECKING:
    from graft.provenance.tracking.registry import ModelVersion

REWRITTEN = "is not what was written when the gate judged it"


def check_ledger(client: Any, name: str, copy: Path = ledger.COPY, model: str | None = None) -> Iterator[Check]:
    """Checks that the ledger of a registered model is whole, and that its copy and the versions agree with it.

    Args:
        client: Client of the server.
        name: Name of the registered model.
        copy: File of the copy in git.
        model: Digest of the audited model: a version that held it must not be gone.
    """
    try:
        entries = ledger.read(client, name)
    except GraftError as error:
        yield Check(BROKEN, f"ledger of {name}", error.what)
        return
    problems = ledger.verify(entries)
    yield from (Check(BROKEN, f"ledger of {name}", problem) for problem in problems)
    if not entries:
        yield Check(MISSING, f"ledger of {name}", "nothing was promoted yet")
    elif not problems:
        yield Check(VERIFIED, f"ledger of {name}", f"{len(entries)} entries, each follows the one before")
    yield from _check_copy(entries, name, copy)
    yield from check_test_set(client, entries)
    yield _check_champion(client, entries, name)
    yield from check_pages(client, entries, name, model)


def promoted_digest(client: Any, name: str, number: int | None, copy: Path = ledger.COPY) -> str | None:
    """The digest that the ledger, or else its copy, has for a version, or for the champion if `number` is None."""
    for read in (partial(ledger.read, client, name), partial(ledger.read_copy, copy)):
        with contextlib.suppress(GraftError):
            confirmed = [one for one in read() if one.name == name and one.phase == "confirmed"]
            if found := [one.model_digest for one in confirmed if number in (None, one.version)]:
                return found[-1]
    return None


def _check_copy(entries: list[LedgerEntry], name: str, copy: Path) -> Iterator[Check]:
    what = f"{copy}, {name}"
    try:
        ours = [entry for entry in ledger.read_copy(copy) if entry.name == name]
    except (GraftError, UnicodeDecodeError) as error:
        yield Check(BROKEN, what, error.what if isinstance(error, GraftError) else "not UTF-8 text")
        return
    if not entries and ours:
        yield Check(BROKEN, what, "the copy of another store's ledger, or this store lost its own: it holds none")
    elif problems := ledger.compare_copy(entries, ours, name):
        yield Check(BROKEN, what, problems[0])
    elif len(ours) < len(entries):
        yield Check(MISSING, what, f"{len(entries) - len(ours)} entries of the server are not in it; graft champion")
    elif entries:
        yield Check(VERIFIED, what, "as on the server")


def check_test_set(client: Any, entries: Sequence[LedgerEntry]) -> Iterator[Check]:
    """Checks that the lists of the test set in force and of its parts are on the server as they were frozen."""
    stated = find_in_force(entries)
    if stated is None:
        return
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        yield _check_list(client, stated, None, Path(folder))
        lists = read_lists(client, stated, Path(folder))
        whole = max(lists, key=lambda images: content_digest(images) == stated.digest, default=None)
        for part in stated.parts:
            yield _check_list(client, part, whole, Path(folder))


def _check_list(client: Any, stated: FrozenTestSet | TestPart, whole: list[Any] | None, folder: Path) -> Check:
    """Checks the list of a test set, or of a part, of which each image has to be in the list of the whole too.

    A part whose list is gone is missing and not broken: the list of the whole holds its images.
    """
    try:
        images = fetch_list(client, stated, folder)
    except GraftError as error:
        is_lost = whole is not None and not has_list(client, stated)
        return Check(MISSING if is_lost else BROKEN, str(stated), error.what)
    held = None if whole is None else {json.dumps(image) for image in whole}
    lacking = 0 if held is None else sum(json.dumps(image) not in held for image in images)
    if lacking:
        said = f"{lacking} of its {len(images)} images are not in the list of the whole test set as they were frozen"
        return Check(BROKEN, str(stated), said)
    return Check(VERIFIED, str(stated), "the list of its images is as the ledger froze it")


def _check_champion(client: Any, entries: list[LedgerEntry], name: str) -> Check:
    confirmed, intent = [entry for entry in entries if entry.phase == "confirmed"], history.open_intent(entries)
    address = ModelAddress(name, alias=CHAMPION)
    live, what = find_version(client, address), str(address)
    if intent and live and int(live.version) == intent.version:
        return Check(MISSING, what, f"version {intent.version}, not confirmed yet: graft champion finishes it")
    if not confirmed:
        status = BROKEN if live else MISSING
        reason = f"version {live.version}, which was never promoted" if live else "no champion yet"
        return Check(status, what, reason)
    number = confirmed[-1].version
    if find_version(client, ModelAddress(name, number)) is None:
        return Check(BROKEN, what, f"version {number} is the champion of the ledger, and was deleted")
    if live is None or int(live.version) != number:
        found = "nowhere" if live is None else f"at version {live.version}"
        return Check(BROKEN, what, f"points {found}, but the ledger says version {number}: it was moved without graft")
    return Check(VERIFIED, what, f"version {number}, as the ledger says")


def check_pages(client: Any, entries: Sequence[LedgerEntry], name: str, model: str | None = None) -> Iterator[Check]:
    """Checks every version of a registered model that was promoted or judged.

    Args:
        client: Client of the server.
        entries: Entries of the ledger.
        name: Name of the registered model.
        model: Digest of the audited model: a version that held it must not be gone.
    """
    versions = {int(version.version): version for version in find_versions(client, name)}
    promoted, overridden = history.promotions(entries), history.promotions(entries, ("override",))
    waiting = history.open_intent(entries)
    for number in sorted({*versions, *promoted}):
        if waiting and waiting.version == number:
            continue  # the command that finishes the promotion writes the page
        uri, version, intent = str(ModelAddress(name, number)), versions.get(number), promoted.get(number)
        if version is None:
            status = BROKEN if promoted[number].model_digest == model else MISSING
            yield Check(status, uri, "was deleted, though the ledger says that it was promoted")
            continue
        if intent:
            yield _check_model(uri, version, intent)
        yield from _check_page(uri, version, intent, overridden.get(number))


def _check_model(uri: str, version: ModelVersion, intent: LedgerEntry) -> Check:
    found = version.tags.get(MODEL_DIGEST, "nothing")
    if found != intent.model_digest:
        said = f"tag {MODEL_DIGEST} is {found[:12]}, but the ledger says {intent.model_digest[:12]}"
        return Check(BROKEN, f"{uri}, model promoted", said)
    return Check(VERIFIED, f"{uri}, model promoted", f"{found[:12]}, as the ledger says")


def _check_page(
    uri: str, version: ModelVersion, intent: LedgerEntry | None, override: LedgerEntry | None
) -> Iterator[Check]:
    refusal = Verdict.refusal(version.tags, since=intent.time if intent else "")
    verdict = refusal or (Verdict.of(intent) if intent else None)
    expected = (verdict.tags if verdict else {}) | ({OVERRIDE_TAG: Verdict.of(override).said} if override else {})
    wrong = [f"tag {name}" for name in TAGS if version.tags.get(name) != expected.get(name)]
    description = version.description or ""
    if not (verdict.is_on(description) if verdict else shown_on(description) == ""):
        wrong.append("table on its page")
    yield from (Check(BROKEN, f"{uri}, {what}", REWRITTEN) for what in wrong)
    if wrong or verdict is None:
        return
    if refusal and intent:
        yield Check(MISSING, f"{uri}, verdict", "refused when it was judged again, which no ledger holds")
    else:
        yield Check(VERIFIED, f"{uri}, verdict", "as its rules say" if refusal else "as the ledger says")
