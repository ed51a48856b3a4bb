"""Splits by a hash of (split seed, group): adding a file moves no other, fractions are approximate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from graft.data.formats.listing import Entry
from graft.foundation.content import content_seed
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

ValFraction = Annotated[float, Field(gt=0, lt=1)]
TestFraction = Annotated[float, Field(ge=0, lt=1)]


def hashed_split(seed: int, group: str, val_fraction: float, test_fraction: float) -> str:
    """train, val or test, decided by nothing but the arguments."""
    position = content_seed(seed, "split", group) / 2**63
    if position < test_fraction:
        return "test"
    return "val" if position < test_fraction + val_fraction else "train"


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuses fractions that leave nothing to train on."""
    if val_fraction + test_fraction >= 1:
        raise GraftError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} leave nothing to train on",
            where="ingest.source",
            rule="together they must be smaller than 1",
        )


def check_not_empty(entries: Iterable[Entry], needed: Iterable[str]) -> None:
    """Refuses a split that is needed and got nothing, with the remedy."""
    entries = list(entries)
    counts = Counter(entry.split for entry in entries)
    empty = [split for split in needed if not counts[split]]
    if empty:
        num_groups = len({entry.group for entry in entries})
        raise GraftError(
            f"no image fell into {' and '.join(empty)}: {counted(len(entries), 'image')} in "
            f"{counted(num_groups, 'group')}",
            where="ingest.source",
            rule="splits are made by a hash of (split seed, group), so few groups may miss a small fraction",
            remedy=" or ".join(
                [*(f"raise {split}_fraction" for split in empty if split != "train"), "change ingest.split_seed"]
            )
            + ("; test_fraction: 0 makes no test split" if "test" in empty else ""),
        )


class Groups:
    """The group of an id: what a regular expression finds in it (its first parenthesis, if it has one), or the id.

    Raises:
        GraftError: The expression is not one.
    """

    def __init__(self, pattern: str | None) -> None:
        try:
            self._pattern = re.compile(pattern) if pattern is not None else None
        except re.error as error:
            raise GraftError(
                f"{pattern!r} is not a regular expression ({error})", where="ingest.source.group_pattern"
            ) from None
        self.problems: list[str] = []

    def of(self, id: str) -> str:
        """The group of an id; an id the expression is not found in is added to the problems."""
        if self._pattern is None:
            return id
        match = self._pattern.search(id)
        if match is None:
            self.problems.append(f"{id}: group_pattern {self._pattern.pattern!r} is not found in it")
            return id
        return str(match[1] if self._pattern.groups and match[1] is not None else match[0])
