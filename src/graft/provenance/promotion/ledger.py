"""The ledger: an append-only chain of promotions, rollbacks, overrides and test sets, with who made them and why.

The server's copy is the authority. An entry is a version of the registered model `graft-ledger-NAME`, so the server
numbers it, and carries the digest of the entry it follows. Of two that follow the same one the lower number wins.
`ledger.jsonl` in git is the readable copy: it shows when somebody dropped the end of the server's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation import git
from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress
from graft.provenance import signatures
from graft.provenance.tracking import registry

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

COPY = Path("ledger.jsonl")
KINDS, PHASES = ("promote", "rollback", "override", "freeze"), ("intent", "confirmed", "void", "frozen")
ENTRY_TAG, DIGEST_TAG, MOST_TAG_CHARACTERS = "graft.entry", "graft.digest", 5000


@dataclass(frozen=True)
class LedgerEntry:
    """One entry of a ledger.

    Attributes:
        kind: Kind of change, `promote`, `rollback`, `override` or `freeze`.
        phase: Phase of the change: `intent` before the alias moves, then `confirmed` or `void`; at once `frozen`.
        name: Name of the registered model.
        version: Number of the version that is to be the champion.
        model_digest: Digest of its exported folder.
        previous_version: Number of the champion before; None for the first.
        reason: Reason, in a sentence.
        rules: Rules of the gate, each `{rule, value, bound, verdict}`; only in the entry of an intent.
        author: Name of the person who made the change.
        time: Time of the entry, ISO 8601 in UTC.
        follows: Digest of the entry before; empty for the first.
        signature: Ed25519 signature of the canonical JSON without it, in base64; None where no key was configured.
        test_set: Test set that the entry freezes, as `FrozenTestSet` states it; None, and not spelt out, in any other.
    """

    kind: str
    phase: str
    name: str
    version: int
    model_digest: str
    previous_version: int | None
    reason: str
    rules: tuple[dict[str, str], ...]
    author: str
    time: str
    follows: str = ""
    signature: str | None = None
    test_set: dict[str, Any] | None = None

    @property
    def canonical(self) -> str:
        """Sorted JSON without spaces, on one line."""
        return _canonical(self._content)

    @property
    def signed_bytes(self) -> bytes:
        """The canonical JSON without the signature, which the signature covers."""
        return _canonical({key: value for key, value in self._content.items() if key != "signature"}).encode()

    @property
    def _content(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if (key, value) != ("test_set", None)}

    @property
    def digest(self) -> str:
        """The sha256 of the canonical JSON."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @classmethod
    def of(cls, text: str, where: object) -> LedgerEntry:
        """Reads an entry from canonical JSON.

        Raises:
            GraftError: It is not an entry, or not in the exact form in which entries are written.
        """
        try:
            stored = json.loads(text)
            entry = cls(**{**stored, "rules": tuple(stored["rules"])})
        except (ValueError, TypeError, KeyError):
            raise GraftError("not an entry of a ledger", where=where, remedy=DAMAGED) from None
        if entry.canonical != text or entry.kind not in KINDS or entry.phase not in PHASES:
            raise GraftError("this entry was edited", where=where, remedy=DAMAGED)
        return entry


DAMAGED = (
    "graft audit says what is damaged; compare ledger.jsonl and its history in git, and ask who changed the server"
)


MERGED = "the server holds the ledger, and this file is its copy: no side of a conflict can be lost"
REWRITE = "graft champion, which adds what the server holds of a model; then git add the file"


class Late(GraftError):  # noqa: N818  (it reads as what it says)
    """Another entry follows the same one already, and counts."""


class Unsigned(GraftError):  # noqa: N818  (it reads as what it says)
    """The ledger is signed, and the next entry could not be."""


def ledger_name(name: str) -> str:
    """The registered model that holds the ledger of a model."""
    return f"graft-ledger-{name}"


def read(store: MlflowClient, name: str) -> list[LedgerEntry]:
    """Reads the entries of a model in order, without those that lost; `verify` checks that they form a chain.

    Raises:
        GraftError: An entry was edited, or the store does not answer.
    """
    return drop_losers(_read_all(store, name))


def append(store: MlflowClient, name: str, entry: LedgerEntry) -> LedgerEntry:
    """Signs an entry and appends it after the one it follows; returns it as the ledger holds it.

    Raises:
        Late: Another entry follows that one already; the message names it.
        Unsigned: Earlier entries are signed, and no key is configured, or one that cannot be used.
        GraftError: The key cannot be used, or the store does not answer.
    """
    before = read(store, name)
    _refuse_late(entry, before)
    refuse_unsigned(name, before)
    signed = replace(entry, signature=None)
    signed = replace(signed, signature=signatures.sign(signed.signed_bytes))
    text = signed.canonical
    parts = [text[start : start + MOST_TAG_CHARACTERS] for start in range(0, len(text), MOST_TAG_CHARACTERS)]
    tags = {ENTRY_TAG if not number else f"{ENTRY_TAG}.{number}": part for number, part in enumerate(parts)}
    said = f"{signed.kind} version {signed.version} ({signed.phase}) by {signed.author}, {signed.time}: {signed.reason}"
    source = f"graft-ledger:/{signed.digest}"  # a server takes no other address without files behind it
    registry.add_version(store, ledger_name(name), source, tags | {DIGEST_TAG: signed.digest}, said[:1000])
    _refuse_late(signed, [other for other in read(store, name) if other != signed])
    return signed


def refuse_unsigned(name: str, entries: Sequence[LedgerEntry]) -> None:
    """Refuses to go on where a signed ledger would get an unsigned entry, which would damage it for ever.

    Raises:
        Unsigned: Some entries are signed, and no key is configured, or one that cannot be used.
    """
    if not any(entry.signature is not None for entry in entries):
        return
    rule = "once signed entries exist, every later one is signed"
    try:
        signature = signatures.sign(b"")
    except GraftError as error:
        raise Unsigned(error.what, where=error.where, rule=rule, remedy=error.remedy) from None
    if signature is None:
        what = f"this ledger is signed, and {signatures.KEY_VARIABLE} is not set"
        remedy = f"set {signatures.KEY_VARIABLE} to a key that {signatures.SIGNERS} lists, or ask somebody who has one"
        raise Unsigned(what, where=ledger_name(name), rule=rule, remedy=remedy)


def drop_losers(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Leaves out each entry that came second after the same predecessor, and what follows such an entry alone."""
    kept: list[LedgerEntry] = []
    followed: set[str] = set()
    known = {""}
    lost: set[str] = set()
    for entry in entries:
        if entry.follows in followed or (entry.follows in lost and entry.follows not in known):
            lost.add(entry.digest)
            continue
        followed.add(entry.follows)
        known.add(entry.digest)
        kept.append(entry)
    return kept


def verify(entries: Sequence[LedgerEntry], signers: Path = signatures.SIGNERS) -> list[str]:
    """Checks order, digests, phases and signatures of a chain; returns a sentence for each problem."""
    known, problems, signed_before = signatures.signers(signers), [], False
    before: LedgerEntry | None = None
    for number, entry in enumerate(entries, 1):
        here = f"entry {number} ({entry.kind} version {entry.version}, {entry.phase}, {entry.time})"
        if entry.follows != (before.digest if before else ""):
            problems.append(f"{here} does not follow the entry before it: one was edited, dropped or moved")
        if _is_open(before) != (entry.phase in ("confirmed", "void")):
            problems.append(f"{here} is out of order: an intent is confirmed or voided, and nothing else is")
        elif (entry.kind == "freeze") != (entry.phase == "frozen"):
            problems.append(f"{here} is out of order: a test set is frozen in one step, and nothing else is")
        elif before and _is_open(before) and _subject(entry) != _subject(before):
            problems.append(f"{here} speaks of something else than the intent before it")
        if entry.signature is None and known and signed_before:
            problems.append(f"{here} is not signed, though earlier ones are")
        signature = entry.signature
        if signature is not None and known and not signatures.signer_of(entry.signed_bytes, signature, known):
            problems.append(f"{here} is signed by nobody whom {signers} lists")
        signed_before |= entry.signature is not None
        before = entry
    return problems


def write_copy(path: Path, entries: Sequence[LedgerEntry]) -> None:
    """Writes the entries of a model into the copy, one a line; those of other models stay."""
    if not entries:
        return
    name = entries[0].name
    others = [entry for entry in read_copy(path) if entry.name != name]
    lines = [entry.canonical for entry in (*others, *entries)]
    text = "".join(f"{line}\n" for line in lines)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    with replace_file(path) as pending:
        pending.write_text(text, encoding="utf-8")


def read_copy(path: Path) -> list[LedgerEntry]:
    """Reads every entry of the copy, of all models, in order; none where there is no file.

    Raises:
        GraftError: A line was edited, dropped or moved, or git's conflict markers stand in it.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise GraftError("not UTF-8 text", where=path, remedy=DAMAGED) from None
    git.refuse_conflict(path, text, MERGED, REWRITE)
    lines = text.removesuffix("\n").split("\n")  # a reason may hold U+2028
    entries = [LedgerEntry.of(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    last: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        if entry.follows != last.get(entry.name, ""):
            raise GraftError("follows another entry than stands before it", where=f"{path}:{number}", remedy=DAMAGED)
        last[entry.name] = entry.digest
    return entries


def compare_copy(entries: Sequence[LedgerEntry], copy: Sequence[LedgerEntry], name: str) -> list[str]:
    """Compares the copy with the server; returns a sentence for each entry that is not in its place there."""
    ours = [entry for entry in copy if entry.name == name]
    pairs = [(entry, entries[number] if number < len(entries) else None) for number, entry in enumerate(ours)]
    return [
        f"entry {number} of the copy ({entry.kind} version {entry.version}, {entry.phase}, {entry.time}) is not "
        "the server's"
        for number, (entry, other) in enumerate(pairs, 1)
        if entry != other
    ]


def _read_all(store: MlflowClient, name: str) -> list[LedgerEntry]:
    entries = []
    for version in registry.find_versions(store, ledger_name(name)):
        where = ModelAddress(version.name, int(version.version))
        parts = [version.tags.get(ENTRY_TAG, "")]
        while (more := version.tags.get(f"{ENTRY_TAG}.{len(parts)}")) is not None:
            parts.append(more)
        entry = LedgerEntry.of("".join(parts), where)
        if entry.digest != version.tags.get(DIGEST_TAG) or entry.name != name:
            raise GraftError("this entry was edited", where=where, remedy=DAMAGED)
        entries.append(entry)
    return entries


def _refuse_late(entry: LedgerEntry, others: Sequence[LedgerEntry]) -> None:
    winner = next((other for other in others if other.follows == entry.follows), None)
    if winner is None or winner == entry:
        return
    raise Late(
        f"{winner.author} was faster: {winner.kind} version {winner.version}, {winner.time} ({winner.reason}); "
        f"your {entry.kind} of version {entry.version} changed nothing",
        where=ledger_name(entry.name),
        rule="of two entries that follow the same one the first counts",
        remedy="look at graft champion, and run the command again if you still want it",
    )


def _is_open(entry: LedgerEntry | None) -> bool:
    return entry is not None and entry.phase == "intent"


def _subject(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.kind, entry.name, entry.version, entry.model_digest, entry.previous_version


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
