"""A search of git for what made a model: one commit with the code, params and lock file of each stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graft.foundation.content import digest_of, digest_of_listing
from graft.foundation.errors import GraftError
from graft.foundation.git import git_output, git_text
from graft.foundation.packages import EXTRAS, LOCK
from graft.foundation.progress import progress
from graft.provenance.records import Record

PARAMS = "params.yaml"
ABSENT = object()
WATCHED = ("pipeline", "src", PARAMS, LOCK.as_posix(), EXTRAS.as_posix())


def find_commits(records: Mapping[str, Record]) -> dict[str, tuple[str | None, list[str]]]:
    """Finds, for each stage, a commit reachable from the current branch that holds all it ran with.

    Committing after training is fine: contents are compared, not times.

    Args:
        records: Records by stage.

    Returns:
        The commit of each stage, or None and what the nearest commit lacks.
    """
    history = History()
    found: dict[str, tuple[str | None, list[str]]] = {stage: (None, ["there is none"]) for stage in records}
    hints = [str(record.git.commit) for record in records.values()]
    for number, commit in enumerate(progress(list(history.commits(hints)), "Looking through commits", unit="commit")):
        for stage in [stage for stage, (there, _) in found.items() if there is None]:
            lacking = history.lacking(commit, records[stage])
            if not lacking:
                found[stage] = (commit, [])
            elif number == 0 or len(lacking) < len(found[stage][1]):
                found[stage] = (None, lacking)
        if all(there for there, _ in found.values()):
            break
    return found


def refuse_uncommitted(records: Mapping[str, Record]) -> None:
    """Refuses, from the newest commit and the files here alone, what was run with files that were never committed.

    Args:
        records: Records by stage.

    Raises:
        GraftError: A stage ran with code, params or a lock file as they lie here and as the newest commit lacks them.
    """
    head = git_text("rev-parse", "HEAD")
    if head is None:
        return
    newest, lacking = History(), set()
    for record in records.values():
        if str(record.git.commit) != head and not newest.lacking(str(record.git.commit), record):
            continue
        lacking |= {part for part in newest.lacking(head, record) if _is_here(part, record)}
    if lacking:
        files = sorted({part.partition(":")[0] for part in lacking})
        raise GraftError(
            f"not committed: {', '.join(sorted(lacking))}",
            rule="a champion's code and params are in a commit, so that it can be rebuilt",
            remedy=f"git add {' '.join(files)}, git commit, then run the command again; no new training is needed",
        )


def _is_here(part: str, record: Record) -> bool:
    """Tell whether a part that a commit lacks lies in this folder as the stage ran with it."""
    path, _, _ = part.partition(":")
    if path == PARAMS:
        here = compare_params(Path(PARAMS).read_bytes() if Path(PARAMS).is_file() else b"", record.params)
        return part.partition(": ")[2] not in here
    digest = record.locks.get(path) or record.code.get(path)
    return Path(path).exists() and digest_of(Path(path)) == digest


class History:
    """The commits reachable from the current branch, and the contents in them."""

    def __init__(self) -> None:
        self._sha256: dict[str, str] = {}
        self._trees: dict[str, dict[str, str]] = {}

    def commits(self, hints: Iterable[str]) -> Iterator[str]:
        """Every commit that may differ in code, params or lock file: the hinted ones first, then the newest."""
        known = (git_text("rev-list", "--full-history", "HEAD", "--", *WATCHED) or "").split()
        everything = dict.fromkeys((git_text("rev-list", "HEAD") or "").split())
        head = list(everything)[:1]
        yield from dict.fromkeys([*(hint for hint in hints if hint in everything), *head, *known])

    def lacking(self, commit: str, record: Record) -> list[str]:
        """Lists the parts of a record that this commit does not hold with the same content."""
        tree = self._tree(commit)
        held = {**record.code, **record.locks}
        lacking = [path for path, digest in held.items() if self._digest(tree, path) != digest]
        text = git_output("cat-file", "blob", tree[PARAMS]) if PARAMS in tree else None
        return lacking + [f"{PARAMS}: {key}" for key in compare_params(text or b"", record.params)]

    def _tree(self, commit: str) -> dict[str, str]:
        """Blob ids by path."""
        if commit not in self._trees:
            lines = (git_output("ls-tree", "-r", "-z", commit, "--", *WATCHED) or b"").decode().split("\0")
            rows = (line.partition("\t") for line in lines if line)
            self._trees[commit] = {path: facts.split()[2] for facts, _, path in rows if facts.split()[1] == "blob"}
        return self._trees[commit]

    def _digest(self, tree: Mapping[str, str], path: str) -> str | None:
        """As `digest_of` would give it in a checkout; None where the path is not in the commit."""
        path = path.rstrip("/")
        inside = [name for name in tree if name == path or name.startswith(f"{path}/")]
        self._hash({tree[name] for name in inside})
        if path in tree:
            return self._sha256[tree[path]]
        files = {name[len(path) + 1 :]: self._sha256[tree[name]] for name in inside}
        return digest_of_listing(files) if files else None

    def _hash(self, blobs: set[str]) -> None:
        unknown = sorted(blobs - self._sha256.keys())
        if not unknown:
            return
        answer = git_output("cat-file", "--batch", feed="".join(f"{blob}\n" for blob in unknown).encode()) or b""
        start = 0
        for blob in unknown:
            header_end = answer.index(b"\n", start)
            begin = header_end + 1
            end = begin + int(answer[start:header_end].split()[2])
            self._sha256[blob] = hashlib.sha256(answer[begin:end]).hexdigest()
            start = end + 1


def compare_params(text: bytes, recorded: Mapping[str, Any]) -> list[str]:
    """Lists the recorded keys whose values a params file does not have.

    An option that a choice leaves out has its default, which the code decides; all else must be in the file.
    """
    try:
        written = YAML(typ="safe").load(text)
    except YAMLError:
        written = None
    written = written if isinstance(written, dict) else {}
    return [place for key, value in recorded.items() for place in _places(key, value_at(written, key), value)]


def value_at(written: Mapping[str, Any], key: str) -> Any:
    """The value of a section, or of one value in it; DVC's lock file holds `evaluate.split` under that very name."""
    if key in written or "." not in key:
        return written.get(key, ABSENT)
    section, _, rest = key.partition(".")
    inner = written.get(section)
    return value_at(inner, rest) if isinstance(inner, Mapping) else ABSENT


def _places(key: str, written: Any, recorded: Any) -> list[str]:
    """The keys that disagree, one level into a section."""
    if written is not ABSENT and _agrees(written, recorded):
        return []
    if not isinstance(written, Mapping) or not isinstance(recorded, Mapping) or "name" in recorded:
        return [key]
    names = sorted(written.keys() | recorded.keys())
    return [
        f"{key}.{name}"
        for name in names
        if name not in written or name not in recorded or not _agrees(written[name], recorded[name])
    ]


def _agrees(written: Any, recorded: Any) -> bool:
    if isinstance(recorded, Mapping):
        if isinstance(written, str):
            return recorded.get("name") == written
        if not isinstance(written, Mapping):
            return False
        defaults = recorded.keys() - written.keys() if "name" in recorded else set()
        same_keys = written.keys() | defaults == recorded.keys()
        return same_keys and all(_agrees(value, recorded[key]) for key, value in written.items())
    if isinstance(recorded, list):
        return (
            isinstance(written, list)
            and len(written) == len(recorded)
            and all(_agrees(one, other) for one, other in zip(written, recorded, strict=True))
        )
    return type(written) in (type(recorded), int) and written == recorded
