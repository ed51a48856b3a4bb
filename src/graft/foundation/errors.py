"""The one exception of Graft that a person can do something about, and the hint that answers a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Self


class GraftError(Exception):
    """Something a person can fix; the CLI prints it as one message and exits with status 2.

    Args:
        what: Description of the problem, with the offending value in it.
        where: The file (and line, or row) it was found in.
        rule: The rule it breaks.
        remedy: Action that fixes it.
    """

    def __init__(self, what: str, *, where: object = None, rule: str | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.rule, self.remedy = what, where, rule, remedy
        super().__init__(what)

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where is not None else self.what]
        parts += [f"Rule: {self.rule}"] if self.rule else []
        parts += [f"Remedy: {self.remedy}"] if self.remedy else []
        if "\n" in self.what:  # a list: what follows it starts on a line of its own
            return "\n".join(parts)
        return " ".join(part if part.endswith("?") else f"{part.rstrip('.')}." for part in parts)

    def at(self, where: object) -> Self:
        """The same error with `where` as its place."""
        return type(self)(self.what, where=where, rule=self.rule, remedy=self.remedy)

    @classmethod
    def of_all(cls, what: str, problems: Sequence[object], *, remedy: str | None = None) -> GraftError:
        """One error that lists every problem found, a line each."""
        lines = "\n".join("  - " + str(problem).replace("\n", "\n    ") for problem in problems)
        return cls(f"{what} ({len(problems)}):\n{lines}", remedy=remedy)


def first_line(error: BaseException) -> str:
    """The first line of what an error of a library says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def suggest(name: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """A remedy for a misspelt name: the known name it resembles, or else `otherwise` (by default all known names)."""
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {close[0]!r}?"
    return otherwise or f"known: {', '.join(sorted(names)) or 'none'}"
