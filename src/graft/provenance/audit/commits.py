"""Code and parameters at the recorded commit, read out of git object by object, each compared with its own name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from graft.foundation.content import digest_of_listing
from graft.foundation.git import git_output, git_text, start_object_reader
from graft.provenance.audit.dvc_lock import PIPELINE, check_lock
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain
from graft.provenance.promotion.commit_check import PARAMS, WATCHED, compare_params
from graft.provenance.records import Record

if TYPE_CHECKING:
    import subprocess

MOST_COMMITS = 200  # of the newest that touch code or params, where what ran was committed later
FOLDER_MODE, LINK_MODE, MODULE_MODE = "40000", "120000", "160000"


class DamagedObjectError(Exception):
    """An object of git that does not match its name, or cannot be read."""


class Objects:
    """The objects of this repository, by name; git itself does not compare a blob with its name on reading."""

    def __init__(self) -> None:
        self._sha256: dict[str, str] = {}
        self._trees: dict[str, list[tuple[str, str, str]]] = {}
        self._git: subprocess.Popen[bytes] | None = None

    def read(self, name: str, kind: str) -> bytes:
        """The content of an object.

        Raises:
            DamagedObjectError: It is absent, cannot be unpacked, or has another digest.
        """
        content = self._ask(name)
        algorithm = "sha1" if len(name) == 40 else "sha256"
        found = hashlib.new(algorithm, f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False)
        if found.hexdigest() != name:
            raise DamagedObjectError(f"{kind} {name[:12]} was changed")
        return content

    def close(self) -> None:
        """Ends the git process."""
        if self._git is not None:
            self._git.kill()
            self._git.communicate()
            self._git = None

    def _ask(self, name: str) -> bytes:
        if self._git is None:
            self._git = start_object_reader()
        assert self._git.stdin is not None
        assert self._git.stdout is not None
        self._git.stdin.write(f"{name}\n".encode())
        self._git.stdin.flush()
        header = self._git.stdout.readline().split()
        if len(header) != 3:  # absent, or git gave up on an object that it cannot unpack
            self.close()
            raise DamagedObjectError(f"object {name[:12]} cannot be read")
        content = self._git.stdout.read(int(header[2]) + 1)
        if len(content) != int(header[2]) + 1:
            self.close()
            raise DamagedObjectError(f"object {name[:12]} cannot be unpacked")
        return content[:-1]

    def root_of(self, commit: str) -> str:
        """The tree of a commit."""
        return self.read(commit, "commit").split(b"\n", 1)[0].removeprefix(b"tree ").decode()

    def entries(self, tree: str) -> list[tuple[str, str, str]]:
        """(mode, name, object) of everything directly in a tree."""
        if tree not in self._trees:
            self._trees[tree] = list(_parse_tree(self.read(tree, "tree"), len(tree) // 2))
        return self._trees[tree]

    def find(self, root: str, path: str) -> tuple[str, str] | None:
        """(mode, object) of a path; None if the tree does not hold it."""
        found = (FOLDER_MODE, root)
        for part in PurePosixPath(path).parts:
            entries = (
                {name: (mode, key) for mode, name, key in self.entries(found[1])} if found[0] == FOLDER_MODE else {}
            )
            if part not in entries:
                return None
            found = entries[part]
        return found

    def digest(self, root: str, path: str) -> str | None:
        """The content digest of a file or folder in a tree, as `digest_of` gives it; None if it is absent."""
        found = self.find(root, path)
        if found is None:
            return None
        mode, key = found
        return digest_of_listing(dict(self._listing(key, ""))) if mode == FOLDER_MODE else self.sha256(key)

    def sha256(self, blob: str) -> str:
        """sha256 of a file's content."""
        if blob not in self._sha256:
            self._sha256[blob] = hashlib.sha256(self.read(blob, "blob")).hexdigest()
        return self._sha256[blob]

    def _listing(self, tree: str, prefix: str) -> Iterator[tuple[str, str]]:
        for mode, name, key in self.entries(tree):
            if mode == FOLDER_MODE:
                yield from self._listing(key, f"{prefix}{name}/")
            elif mode not in (LINK_MODE, MODULE_MODE) and not name.endswith(".pyc"):
                yield f"{prefix}{name}", self.sha256(key)


def check_commits(index: Index, chain: Chain) -> Iterator[Check]:
    """Checks code, params and environment lock of each step in the commit it names or a later one; then `dvc.lock`."""
    objects = Objects()
    records = [record for step in chain.steps.values() if (record := index.record(step.key))]
    try:
        for record in records:
            yield _check_step(objects, record)
        yield from check_lock(records, partial(_pipeline_at, objects))
    finally:
        objects.close()


def differences(objects: Objects, commit: str, record: Record) -> list[str]:
    """Names what a commit holds otherwise than a record says: code, parameters, the lock of the environment.

    Raises:
        DamagedObjectError: An object of git is not what its name says.
    """
    root = objects.root_of(commit)
    held = {**record.code, **record.locks}
    found = [path for path, digest in held.items() if objects.digest(root, path.rstrip("/")) != digest]
    params = objects.find(root, PARAMS)
    text = objects.read(params[1], "blob") if params else b""
    return found + [f"{PARAMS} ({key})" for key in compare_params(text, record.params)]


def newest_commits() -> list[str]:
    """The newest commits reachable from HEAD that touch code or params, at most `MOST_COMMITS`."""
    return (git_text("rev-list", f"--max-count={MOST_COMMITS}", "HEAD", "--", *WATCHED) or "").split()


def _pipeline_at(objects: Objects, commit: str | None) -> str | None:
    if commit is None or not _is_here(commit):
        return None
    try:
        found = objects.find(objects.root_of(commit), PIPELINE)
        return None if found is None else objects.read(found[1], "blob").decode(errors="replace")
    except DamagedObjectError:  # reported with the code and params of the step
        return None


def _check_step(objects: Objects, record: Record) -> Check:
    commit, what = record.git.commit, f"code and params of {record.stage}"
    if commit is not None and not _is_here(commit) and _is_loose(commit):
        return Check(BROKEN, what, f"in git's own store, commit {commit[:12]} cannot be read")
    if commit is None or not _is_here(commit):
        return Check(MISSING, what, f"commit {str(commit)[:12]} is not in this repository; git fetch may bring it")
    try:
        wrong = differences(objects, commit, record)
        if not wrong:
            return Check(VERIFIED, what, f"commit {commit[:12]} holds them")
        if record.git.holds_code_and_params:
            return Check(BROKEN, what, f"commit {commit[:12]} holds other bytes of {', '.join(wrong[:5])}")
        later = next((other for other in newest_commits() if not differences(objects, other, record)), None)
    except DamagedObjectError as damage:
        return Check(BROKEN, what, f"in git's own store, {damage} (commit {commit[:12]})")
    if later:
        return Check(VERIFIED, what, f"committed after the run, in {later[:12]}")
    return Check(MISSING, what, f"never committed: {', '.join(wrong[:5])} of commit {commit[:12]} were edited")


def _parse_tree(tree: bytes, digest_bytes: int) -> Iterator[tuple[str, str, str]]:
    while tree:
        head, _, rest = tree.partition(b"\0")
        mode, _, name = head.partition(b" ")
        yield mode.decode(), name.decode(errors="surrogateescape"), rest[:digest_bytes].hex()
        tree = rest[digest_bytes:]


def _is_here(commit: str) -> bool:
    return git_output("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}") is not None


def _is_loose(commit: str) -> bool:
    """Tell whether git has a file for this object, readable or not."""
    path = git_text("rev-parse", "--git-path", f"objects/{commit[:2]}/{commit[2:]}")
    return path is not None and Path(path).is_file()
