"""The storage of DVC: the lock entry that goes with a record (workspace, history or run cache), and cached files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from graft.foundation.content import is_bytecode, read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.git import git_text
from graft.foundation.progress import warn
from graft.provenance.repair import LOCK_FILE
from graft.provenance.stages import record_path

Outs = dict[str, str]  # md5 as DVC writes it, by path


class DvcStorage:
    """The lock file of the workspace, its history in git, and DVC's cache."""

    @cached_property
    def locked(self) -> dict[str, Outs]:
        """The outputs of each stage in `dvc.lock`; empty if there is none or it cannot be read."""
        return outs_of_lock(LOCK_FILE.read_text(encoding="utf-8", errors="replace")) if LOCK_FILE.is_file() else {}

    @cached_property
    def cache(self) -> Path:
        """The folder of DVC's cache that holds files by their md5 (below the configured one, in `files/md5`)."""
        from dvc.repo import Repo

        with Repo() as repo:
            return Path(repo.cache.local.path)

    def ignores(self, folder: Path) -> bool:
        """Tell whether `.dvcignore` hides a file below a folder, so that DVC gives the folder another md5."""
        from dvc.repo import Repo

        with Repo() as repo:
            seen = {str(Path(file)) for file in repo.dvcignore.find(repo.fs, str(folder.absolute()))}
        return any(str(file.absolute()) not in seen for file in folder.rglob("*") if file.is_file())

    def outs_with(self, stage: str, record_md5: str) -> Outs | None:
        """Finds the outputs that were written together with a record; the remote's run cache is asked last."""
        record = record_path(stage).as_posix()
        known = (self.locked.get(stage, {}), *self._runs(record_md5), *self._history(stage, record_md5))
        found = next((outs for outs in known if outs.get(record) == record_md5), None)
        if found is None and self._has_remote_runs:
            return next((outs for outs in self._runs(record_md5) if outs.get(record) == record_md5), None)
        return found

    def files(self, outs: Mapping[str, str], output: str) -> dict[str, str] | None:
        """The sha256 of each file of an output, from the bytes in cache or remote; None if both lack them."""
        return {name: sha256_of(file) for name, file in self.paths(outs, output).items()} or None

    def paths(self, outs: Mapping[str, str], output: str) -> dict[str, Path]:
        """The cached copy of each file of an output, fetched from the remote if need be; files both lack are absent.

        Raises:
            GraftError: The cache's own list of the files of a folder was changed.
        """
        md5 = outs.get(output, "")
        self._bring(md5)
        found = {output: md5} if md5 and not md5.endswith(".dir") else {}
        if md5.endswith(".dir") and self._object(md5).is_file():
            if f"{_md5(self._object(md5))}.dir" != md5:
                raise GraftError(f"the list of its files, {md5}, was changed")
            found = {f"{output}/{entry['relpath']}": entry["md5"] for entry in read_json(self._object(md5))}
        return {name: self._object(each) for name, each in found.items() if self._object(each).is_file()}

    @cached_property
    def _has_remote_runs(self) -> bool:
        """Tell whether the run cache could be completed from the remote's."""
        return _ask_remote(lambda repo: repo.stage_cache.pull(None))

    def _bring(self, md5: str) -> None:
        """Fetches an object that the cache lacks from the remote, and for a folder every file that the cache lacks."""
        if md5 and self._lacking([md5]):
            _pull([md5])
        if not md5.endswith(".dir") or self._lacking([md5]) or f"{_md5(self._object(md5))}.dir" != md5:
            return
        if lacking := self._lacking(entry["md5"] for entry in read_json(self._object(md5))):
            _pull(lacking)

    def _lacking(self, md5s: Iterable[str]) -> list[str]:
        return [md5 for md5 in md5s if not self._object(md5).is_file()]

    def _object(self, md5: str) -> Path:
        return self.cache / md5[:2] / md5[2:]

    def _runs(self, record_md5: str) -> Iterator[Outs]:
        for file in sorted(self.cache.parents[1].glob("runs/*/*/*")):
            text = file.read_text(encoding="utf-8", errors="replace")
            if record_md5 in text:
                yield _outs(_yaml(text))

    def _history(self, stage: str, record_md5: str) -> Iterator[Outs]:
        commits = git_text("log", "--all", "--format=%H", f"-S{record_md5}", "--", str(LOCK_FILE)) or ""
        for commit in commits.split():
            yield outs_of_lock(git_text("show", f"{commit}:{LOCK_FILE}") or "").get(stage, {})


def stale_stages(target: str) -> list[str]:
    """The stages that `dvc repro` would run, or bring back, up to a stage: that one and all before it."""
    from dvc.repo import Repo

    with Repo() as repo:
        return sorted(repo.status(targets=[target], with_deps=True))


def _ask_remote(bring: Callable[[Any], object]) -> bool:
    """Fetches from DVC's default remote into the cache; returns False if there is none, or it does not answer."""
    from dvc.repo import Repo

    with Repo() as repo:
        if not repo.config["core"].get("remote"):
            return False
        try:
            bring(repo)
        except Exception as error:  # each kind of remote fails in its own way, and what it lacks is reported as missing
            warn(f"DVC's remote: {type(error).__name__}: {error}")
            return False
    return True


def _pull(md5s: Iterable[str]) -> bool:
    from dvc_data.hashfile.hash_info import HashInfo

    return _ask_remote(lambda repo: repo.cloud.pull([HashInfo("md5", md5) for md5 in md5s]))


def md5_in_workspace(output: Path) -> str | None:
    """The md5 that DVC gives a file or folder; None if it is absent."""
    facts = facts_in_workspace(output)
    return None if facts is None else facts["md5"]


def facts_in_workspace(path: Path) -> dict[str, Any] | None:
    """The facts DVC writes about a file or folder: `md5`, `size` in bytes and a folder's `nfiles`; None if absent."""
    if path.is_file():
        return {"md5": _md5(path), "size": path.stat().st_size}
    if not path.is_dir():
        return None
    files = [file for file in path.rglob("*") if file.is_file() and not is_bytecode(file)]
    entries = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    entries.sort(key=lambda entry: entry["relpath"])
    md5 = hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
    return {"md5": md5, "size": sum(file.stat().st_size for file in files), "nfiles": len(files)}


def outs_of_lock(text: str) -> dict[str, Outs]:
    """The outputs of each stage of a lock file; empty where it is damaged."""
    return {name: _outs(stage) for name, stage in stages_in(text).items()}


def stages_in(text: str) -> dict[str, Any]:
    """The stages of a `dvc.lock` or `dvc.yaml` as they stand there; empty where it is damaged."""
    tree = _yaml(text)
    stages = tree.get("stages") if isinstance(tree, dict) else None
    return stages if isinstance(stages, dict) else {}


def _outs(entry: Any) -> Outs:
    outs = entry.get("outs", []) if isinstance(entry, dict) else []
    return {str(out["path"]): str(out.get("md5")) for out in outs if isinstance(out, dict) and "path" in out}


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError):
        return {}


def _md5(file: Path) -> str:
    stat = file.stat()
    return _md5_of(file.absolute(), stat.st_mtime_ns, stat.st_size)


@cache
def _md5_of(file: Path, _changed_ns: int, _size: int) -> str:
    """Hashes a file once an audit, though it may be an output of one stage and an input of another."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
