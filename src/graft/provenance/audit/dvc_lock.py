"""The entries of `dvc.lock`, besides the md5 of outputs: command, parameters, dependencies and sizes."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check
from graft.provenance.dvc_cache import DvcStorage, facts_in_workspace, md5_in_workspace, stages_in
from graft.provenance.promotion.commit_check import PARAMS, compare_params, value_at
from graft.provenance.records import Record
from graft.provenance.repair import LOCK_FILE
from graft.provenance.seal import declared_entry, interpolate
from graft.provenance.stages import INGESTED, is_ingest, is_within, record_path

PIPELINE = "dvc.yaml"
KEYS = {"cmd", "deps", "params", "outs"}
FACTS = ("hash", "md5", "size", "nfiles")


def check_lock(records: Sequence[Record], pipeline_at: Callable[[str | None], str | None]) -> Iterator[Check]:
    """Checks every stage whose entry in the lock file belongs to a record.

    Args:
        records: Records of the chain of a model.
        pipeline_at: Function that gives the text of `dvc.yaml` at a commit, or None if git does not have it.
    """
    if not LOCK_FILE.is_file():
        return
    here = Path(PIPELINE).read_text(encoding="utf-8") if Path(PIPELINE).is_file() else ""
    locked = stages_in(LOCK_FILE.read_text(encoding="utf-8", errors="replace"))
    if strange := sorted(_strange_names(locked, here, records)):
        yield Check(BROKEN, str(LOCK_FILE), f"names {', '.join(strange)}, which is no stage")
    kept = DvcStorage()
    for record in records:
        stage = record.stage
        if _is_of(kept, record):
            entry = locked.get(stage, {})
            problems = list(_problems(entry, record, kept)) if _is_entry(entry) else ["is no entry of a stage"]
            reason = (
                f"not what was recorded: {', '.join(problems)}" if problems else "params, deps and sizes as recorded"
            )
            yield Check(BROKEN if problems else VERIFIED, f"{LOCK_FILE}, {stage}", reason)
            if not problems:
                then = pipeline_at(record.git.commit)
                yield _check_command(record, entry["cmd"], here, then)


def _strange_names(locked: Mapping[str, Any], here: str, records: Sequence[Record]) -> set[str]:
    """The names in the lock file that neither `dvc.yaml` nor a record has; an instance counts as its `foreach`."""
    known = {*stages_in(here), *(record.stage for record in records)}
    return {name for name in map(str, locked) if name not in known and name.partition("@")[0] not in known}


def _is_of(kept: DvcStorage, record: Record) -> bool:
    """Tell whether lock file or workspace hold this very record; if not, they describe another model."""
    path = record_path(record.stage)
    return record.md5 in (kept.locked.get(record.stage, {}).get(path.as_posix()), md5_in_workspace(path))


def _is_entry(entry: Any) -> bool:
    lists = isinstance(entry, Mapping) and all(isinstance(entry.get(key), list) for key in ("deps", "outs"))
    return lists and all(
        isinstance(each, Mapping) and "path" in each for key in ("deps", "outs") for each in entry[key]
    )


def _problems(entry: Mapping[str, Any], record: Record, kept: DvcStorage) -> Iterator[str]:
    """Names everything in the entry that does not follow from the record, the workspace or the cache."""
    yield from sorted(set(map(str, entry)) ^ KEYS)
    yield from _params(entry.get("params"), record.params)
    own = record_path(record.stage).as_posix()
    written = {**record.outputs, own: record.sha256}
    for kind, expected in (("deps", {**record.inputs, **record.code}), ("outs", written)):
        recorded = {posixpath.normpath(path): digest for path, digest in _as_declared(record, expected).items()}
        named = {str(each["path"]): each for each in entry[kind]}
        yield from (f"{kind}: {path}" for path in sorted(set(named) ^ set(recorded)))
        for path in sorted(set(named) & set(recorded)):
            found = _facts(Path(path), recorded[path], named[path], record, kept)
            yield from (f"{key} of {path}" for key in FACTS if found and named[path].get(key) != found.get(key))


def _as_declared(record: Record, digests: Mapping[str, str]) -> dict[str, str]:
    """Digests by the path that `dvc.yaml` declares: of the deliveries that a stage read it names the folder of all."""
    if is_ingest(record.stage):
        return dict(digests)
    return {INGESTED if is_within(path, INGESTED) else path: digest for path, digest in digests.items()}


def _params(locked: Any, recorded: Mapping[str, Any]) -> list[str]:
    """The keys that differ; an option that the file leaves out of a choice has that choice's default."""
    written = locked.get(PARAMS) if isinstance(locked, Mapping) and set(locked) == {PARAMS} else None
    if not isinstance(written, Mapping):
        return ["params"]
    extra = set(map(str, written)) - set(recorded)
    return [f"params {key}" for key in (*sorted(extra), *compare_params(json.dumps(written).encode(), recorded))]


def _facts(
    path: Path, digest: str, named: Mapping[str, Any], record: Record, kept: DvcStorage
) -> dict[str, Any] | None:
    """The facts that the entry of a path must state, from the recorded bytes; None if these are not here."""
    found = facts_in_workspace(path)
    if found is not None and found["md5"] == named.get("md5"):
        return {"hash": "md5", **found}
    if found is not None and digest_of(path) == digest and not kept.ignores(path):
        return {"hash": "md5", **found}
    files = [name for name in record.files if name.startswith(f"{path.as_posix()}/")]
    try:
        cached = kept.paths({path.as_posix(): str(named.get("md5"))}, path.as_posix())
    except GraftError:  # the list of its files was changed, which is told of the output itself
        return None
    if files and len(cached) == len(files):
        size = sum(file.stat().st_size for file in cached.values())
        return {"hash": "md5", "md5": named.get("md5"), "size": size, "nfiles": len(files)}
    return None


def _check_command(record: Record, command: Any, here: str, then: str | None) -> Check:
    """Compares the command with `dvc.yaml`, as it was committed and as it stands here."""
    what = f"{LOCK_FILE}, {record.stage}, cmd"
    known = [_command(text or "", record) for text in (then, here)]
    if command in known:
        return Check(VERIFIED, what, f"as {PIPELINE} has it")
    if known[0] is not None and known[0] == known[1]:
        return Check(BROKEN, what, f"is not the command of {PIPELINE}, here and at the recorded commit")
    return Check(MISSING, what, f"{PIPELINE} was edited, and what it said is not at the recorded commit")


def _command(text: str, record: Record) -> str | None:
    try:
        command = declared_entry(stages_in(text), record.stage)["cmd"]
        return interpolate(command, record.stage, lambda key: value_at(record.params, key))
    except (KeyError, TypeError):
        return None
