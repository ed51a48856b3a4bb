"""What a whole ledger says: who is champion, since when and why, and what a rollback returns to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from graft.provenance.promotion.ledger import Entry


@dataclass(frozen=True)
class Champion:
    """The version in force.

    Attributes:
        promoted: The intent that promoted it, with its rules and its reason.
        since: When it came into force (again), ISO 8601 in UTC.
        moved: The intent that made it champion last: `promoted`, or a rollback to it.
    """

    promoted: Entry
    since: str
    moved: Entry

    @property
    def version(self) -> int:
        return self.promoted.version


def champions(entries: Sequence[Entry]) -> list[Champion]:
    """Champions that a rollback can reach, oldest first, the one in force last: a rollback takes the last away."""
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


def champion(entries: Sequence[Entry]) -> Champion | None:
    """The version in force; None before the first."""
    standing = champions(entries)
    return standing[-1] if standing else None


def promotions(entries: Sequence[Entry], kinds: Sequence[str] = ("promote", "override")) -> dict[int, Entry]:
    """The intent by which each version was last promoted, in spite of the gate or not."""
    pairs = pairwise(entries)
    return {one.version: one for one, ending in pairs if one.kind in kinds and ending.phase == "confirmed"}


def open_intent(entries: Sequence[Entry]) -> Entry | None:
    """The intent that nobody has confirmed or voided yet: the last entry, where it is one."""
    return entries[-1] if entries and entries[-1].phase == "intent" else None


def overrides(entries: Sequence[Entry]) -> list[Entry]:
    """Every promotion in force at some time that the gate had refused."""
    pairs = pairwise(entries)
    return [intent for intent, ending in pairs if intent.kind == "override" and ending.phase == "confirmed"]
