"""One finding of the doctor, with a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]
MOST_NAMED = 5


@dataclass(frozen=True)
class Diagnosis:
    """One finding of a check; unless it is ok it comes with a remedy."""

    name: str
    state: State
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n{' ' * 22}remedy: {self.remedy}" if self.remedy else ""
        return f"{self.state:<8} {self.name:<12} {self.fact}{remedy}"


def name_first(things: Sequence[object]) -> str:
    """Names the first five of many, and how many more there are."""
    more = f" and {len(things) - MOST_NAMED} more" if len(things) > MOST_NAMED else ""
    return ", ".join(map(str, things[:MOST_NAMED])) + more
