"""Memory of what was wrong with values before: the libraries that judge them take seconds to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.foundation.content import content_digest, digest_of, read_json, replace_file, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.foundation.installation import CODE
from graft.foundation.packages import LOCK

Place = tuple[str | int, ...]
Finding = tuple[Place, GraftError]


def recall(memory: Path, facts: Mapping[str, Any], examine: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """The findings of `examine`, remembered from the last time if its facts, this code and the lock were the same.

    Args:
        memory: File that keeps the findings of the last time.
        facts: All that the findings depend on besides the code and the installed libraries, as plain data.
        examine: Function that finds them.
    """
    if not LOCK.is_file():  # nothing says which libraries would judge
        return examine()
    digest = content_digest([facts, digest_of(CODE), sha256_of(LOCK)])
    known = _read(memory)
    if known.get("digest") == digest:
        return [
            (tuple(place), GraftError(what, rule=rule, remedy=remedy)) for place, what, rule, remedy in known["found"]
        ]
    found = examine()
    told = [[list(place), error.what, error.rule, error.remedy] for place, error in found]
    with replace_file(memory) as pending:
        write_json(pending, {"digest": digest, "found": told})
    return found


def _read(memory: Path) -> dict[str, Any]:
    """The content of the file; nothing where it is absent or damaged."""
    try:
        content = read_json(memory)
    except GraftError:
        return {}
    return content if isinstance(content, dict) else {}
