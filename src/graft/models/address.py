"""Addresses of registered models: `models:/NAME@ALIAS`, which moves, and `models:/NAME/3`, which never does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graft.foundation.errors import GraftError

CANDIDATE, CHAMPION = "candidate", "champion"
SCHEME = "models:/"


@dataclass(frozen=True)
class ModelAddress:
    """A version of a registered model, by its number or by the alias that points at it.

    Attributes:
        name: Name of the registered model.
        number: Number of the version; None where an alias is given.
        alias: Name of the alias; None where a number is given.
    """

    name: str
    number: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelAddress:
        """Reads an address.

        Raises:
            GraftError: It has neither of the two forms.
        """
        found = re.fullmatch(rf"{SCHEME}(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]*))", text)
        if found is None:
            rule = f"an address is {SCHEME}NAME@ALIAS or {SCHEME}NAME/NUMBER"
            raise GraftError("no such model", where=text, rule=rule, remedy="correct the address")
        number = found["number"]
        return cls(found["name"], None if number is None else int(number), found["alias"])

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}@{self.alias}" if self.alias is not None else f"{SCHEME}{self.name}/{self.number}"


def is_address(text: str) -> bool:
    """Whether a text means a registered model, not a folder."""
    return text.startswith(SCHEME)


def registered_name(task: str) -> str:
    """The name that models of a task are registered under."""
    return f"graft-{task}"
