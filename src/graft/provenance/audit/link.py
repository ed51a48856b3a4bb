"""A link of the chain and the result of its check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

VERIFIED, MISSING, BROKEN = "verified", "missing", "broken"
STATUSES = (VERIFIED, MISSING, BROKEN)
SHORT = 12
MOST_NAMED = 5


@dataclass(frozen=True)
class Check:
    """A link that was checked.

    Attributes:
        status: Status `verified`, `missing` (nothing to compare with) or `broken` (it is not what it was).
        what: Name of the link.
        reason: Explanation of the status.
        kind: Kind of the link, which says how it is mended; empty where a person cannot.
    """

    status: str
    what: str
    reason: str
    kind: str = ""


def compare(what: str, expected: str | None, found: str | None, said_by: str) -> Check:
    """Compares a digest or value with the recorded one."""
    if found is None:
        return Check(MISSING, what, f"not found; {said_by} says {_short(expected)}")
    if expected != found:
        return Check(BROKEN, what, f"is {_short(found)}, but {said_by} says {_short(expected)}")
    return Check(VERIFIED, what, _short(found))


def compare_files(what: str, expected: Mapping[str, str], found: Mapping[str, str], place: str) -> Check:
    """Compares a folder's files with the record by name; every difference is named."""
    changed = [name for name in expected if name in found and found[name] != expected[name]]
    problems = [f"{name} was changed" for name in changed]
    problems += [f"{name} is gone" for name in expected if name not in found]
    problems += [f"{name} was added" for name in found if name not in expected]
    if not found:
        return Check(MISSING, what, f"not in the {place}")
    if problems:
        return Check(BROKEN, what, f"{join_first(problems)} ({place})")
    return Check(VERIFIED, what, f"{len(expected)} files as recorded ({place})")


def join_first(names: Sequence[str]) -> str:
    """Joins the first names and says how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def worst(links: Iterable[Check]) -> str:
    """The worst status: `broken` if any link is, else `missing` if any is, else `verified`."""
    found = {link.status for link in links}
    return next((status for status in (BROKEN, MISSING) if status in found), VERIFIED)


def as_text(links: Iterable[Check]) -> str:
    """A line for each link, and a last line with the counts."""
    links = list(links)
    return "\n".join([*map(line_of, links), count(links)])


def count(links: Sequence[Check]) -> str:
    """The number of links of each status, in a line."""
    counts = ", ".join(f"{sum(link.status == status for link in links)} {status}" for status in STATUSES)
    return f"{len(links)} links: {counts}"


def of_kind(kind: str, links: Iterable[Check]) -> Iterator[Check]:
    """Says of links which kind they are, unless they say so themselves."""
    yield from (link if link.kind else replace(link, kind=kind) for link in links)


def line_of(link: Check) -> str:
    """The status of a link, its name and the reason, in a line."""
    return f"{link.status:<8}  {link.what}: {link.reason}"


def _short(value: str | None) -> str:
    return "nothing" if value is None else value[:SHORT]
