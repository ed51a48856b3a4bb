"""One line of the doctor's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]
MOST_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer; what is not ok says what to do about it."""

    name: str
    state: State
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n{' ' * 22}remedy: {self.remedy}" if self.remedy else ""
        return f"{self.state:<8} {self.name:<12} {self.fact}{remedy}"


def named(things: Sequence[object]) -> str:
    """The first few of many, and how many more there are."""
    more = f" and {len(things) - MOST_NAMED} more" if len(things) > MOST_NAMED else ""
    return ", ".join(map(str, things[:MOST_NAMED])) + more
