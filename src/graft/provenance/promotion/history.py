"""The history in a ledger: the champion, since when and why, and the one a rollback returns to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from graft.provenance.promotion.ledger import LedgerEntry


@dataclass(frozen=True)
class Champion:
    """The version in force.

    Attributes:
        promoted: Intent that promoted it, with its rules and its reason.
        since: Time at which it last came into force, ISO 8601 in UTC.
        moved: Intent that made it champion last: `promoted`, or a rollback to it.
    """

    promoted: LedgerEntry
    since: str
    moved: LedgerEntry

    @property
    def version(self) -> int:
        """Number of the version in force."""
        return self.promoted.version


def champions(entries: Sequence[LedgerEntry]) -> list[Champion]:
    """The champions that rollbacks can reach, oldest first and the one in force last; a rollback removes the last."""
    standing: list[Champion] = []
    for intent, ending in pairwise(entries):
        if ending.phase != "confirmed":
            continue
        if intent.kind != "rollback":
            standing.append(Champion(intent, ending.time, intent))
            continue
        while standing and standing[-1].version == intent.previous_version:
            standing.pop()
        if standing:
            standing[-1] = Champion(standing[-1].promoted, ending.time, intent)
    return standing


def champion(entries: Sequence[LedgerEntry]) -> Champion | None:
    """The version in force; None before the first."""
    standing = champions(entries)
    return standing[-1] if standing else None


def promotions(
    entries: Sequence[LedgerEntry], kinds: Sequence[str] = ("promote", "override")
) -> dict[int, LedgerEntry]:
    """The intent that last promoted each version, by number; overrides of the gate included."""
    pairs = pairwise(entries)
    return {one.version: one for one, ending in pairs if one.kind in kinds and ending.phase == "confirmed"}


def open_intent(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """The last entry, if it is an intent that nobody has confirmed or voided yet."""
    return entries[-1] if entries and entries[-1].phase == "intent" else None


def overrides(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Every confirmed promotion of a version that the gate had refused."""
    pairs = pairwise(entries)
    return [intent for intent, ending in pairs if intent.kind == "override" and ending.phase == "confirmed"]
