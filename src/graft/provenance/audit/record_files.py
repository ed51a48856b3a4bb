"""Records and the files they name, in the workspace if it still holds them, else in DVC's cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of, digest_of_listing, listing
from graft.foundation.errors import GraftError
from graft.foundation.installation import CODE
from graft.models.pins import weights_file
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, compare, compare_files
from graft.provenance.dvc_cache import DvcStorage, md5_in_workspace
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import TEACHER, Chain, Step
from graft.provenance.records import Record
from graft.provenance.repair import LOCK_FILE, is_whole
from graft.provenance.stages import record_path, weights_source


def check_records(index: Index, chain: Chain) -> Iterator[Check]:
    """Checks that each record agrees with itself, and every file that it says was written."""
    kept = DvcStorage()
    if LOCK_FILE.is_file() and not is_whole(LOCK_FILE):
        yield Check(BROKEN, str(LOCK_FILE), "cannot be read; git has it as it was committed")
    for gap in chain.of_stage("missing"):
        yield Check(MISSING, f"record of {', '.join(gap.made)}", f"none has the digest {gap.key[:12]}")
    if chain.missing:
        yield from _changed_records(kept)
    for step in chain.steps.values():
        if record := index.record(step.key):
            yield from _check_step(step, record, kept)


def check_sources(index: Index, chain: Chain) -> Iterator[Check]:
    """Checks every source of pretrained weights, and the file of every teacher."""
    for step in chain.of_stage("source"):
        is_teacher = step.facts.get("name") == TEACHER
        yield _check_teacher(step) if is_teacher else _check_source(index, chain, step)


def file_of(record: Record, name: str) -> Path | None:
    """A file that a record names, as it was written, from the workspace or DVC's cache; None if it is gone."""
    if Path(name).is_file() and digest_of(Path(name)) == record.files.get(name):
        return Path(name)
    kept, output = DvcStorage(), next((output for output in record.outputs if name.startswith(f"{output}/")), None)
    if output is None:
        return None
    outs = kept.outs_with(record.stage, record.md5)
    file = kept.paths(outs or {}, output).get(name)
    return file if file is not None and digest_of(file) == record.files.get(name) else None


def _changed_records(kept: DvcStorage) -> Iterator[Check]:
    """Records that differ from `dvc.lock`: a record that cannot be found was perhaps one of these."""
    for stage, outs in kept.locked.items():
        path = record_path(stage)
        locked = outs.get(path.as_posix())
        if locked is not None and md5_in_workspace(path) not in (None, locked):
            yield Check(BROKEN, str(path), f"is not the file that {LOCK_FILE} names")


def _check_step(step: Step, record: Record, kept: DvcStorage) -> Iterator[Check]:
    path = record_path(record.stage)
    yield compare(f"record {record.stage}", step.key, record.sha256, "the link to it")
    yield from check_itself(record)
    here = path.is_file() and path.read_bytes() == record.as_bytes()
    if here or kept.locked.get(record.stage, {}).get(path.as_posix()) == record.md5:
        yield from _check_workspace(record, path, here, kept)
    else:
        outs = kept.outs_with(record.stage, record.md5)
        for output in record.outputs:
            yield from _check_kept(record, output, outs, kept)


def check_itself(record: Record) -> Iterator[Check]:
    """Checks that the digests in a record follow from each other."""
    what = f"record {record.stage}"
    yield compare(f"{what}, fingerprint", record.fingerprint, record.expected_fingerprint(), "the record")
    if "files" not in record.content:
        yield Check(MISSING, f"{what}, files", "it lists none, as records of the first release did not")
        return
    for output, digest in record.outputs.items():
        found = digest_of_listing(record.names_in(output))
        yield compare(f"{what}, digest of {output}", digest, found, "the record")


def _check_workspace(record: Record, path: Path, here: bool, kept: DvcStorage) -> Iterator[Check]:
    stage, locked = record.stage, kept.locked.get(record.stage, {})
    if here:
        yield Check(VERIFIED, str(path), "as recorded")
    else:
        status = BROKEN if path.is_file() else MISSING
        yield Check(status, str(path), "is not the record that dvc.lock and the chain name")
    for output in record.outputs:
        if Path(output).exists():
            yield compare_files(output, record.files_in(output), _digest_files(output), "workspace")
            yield _against_lock(stage, output, locked.get(output), md5_in_workspace(Path(output)))
        else:
            yield from _check_kept(record, output, locked, kept)
    yield _against_lock(stage, path.as_posix(), locked.get(path.as_posix()), record.md5)


def _against_lock(stage: str, path: str, locked: str | None, found: str | None) -> Check:
    what = f"{LOCK_FILE}, {stage}, {path}"
    if locked is None:
        return Check(MISSING, what, f"{LOCK_FILE} does not name it")
    return compare(what, found, locked, "its content")


def _check_kept(record: Record, output: str, outs: Mapping[str, str] | None, kept: DvcStorage) -> Iterator[Check]:
    """Checks an output that the workspace does not have as recorded, in DVC's cache or its remote."""
    try:
        found = None if outs is None else kept.files(outs, output)
    except GraftError as error:
        yield Check(BROKEN, output, f"{error.what} (DVC cache)")
        return
    expected = record.files_in(output)
    lacking = sorted(set(expected) - set(found or {}))
    if found is None or lacking:
        reason = "not in the workspace as recorded, and neither DVC's cache nor its remote has it"
        yield Check(MISSING, output, f"{reason} ({', '.join(lacking[:5])})" if found else reason)
    if found is not None:
        here = {name: sha for name, sha in expected.items() if name in found}
        yield compare_files(output, here, found, "DVC cache")


def _check_source(index: Index, chain: Chain, step: Step) -> Check:
    what = f"weights source {', '.join(step.made)}"
    expected = step.facts.get("sha256")
    if expected is None and step.facts.get("name") == "none":
        return Check(VERIFIED, what, "no file: the weights are a function of the seed")
    if expected is None:
        return Check(MISSING, what, "the card of the weights, which names their file, is not here")
    loads = [load for load in chain.of_stage("pretrain-load") if any(link.to == step.key for link in load.links)]
    sources = [weights_source(record.params) for load in loads if (record := index.record(load.key))]
    if packaged := [source for source in sources if source["name"] == "package"]:
        return _check_package(what, packaged[0], expected)
    named = [value for source in sources for value in source.values() if isinstance(value, str)]
    bundled = CODE / "models/weights"
    for file in (*map(Path, named), *sorted(bundled.rglob("*.safetensors"))):
        if file.is_file() and os.access(file, os.R_OK):
            found = digest_of(file)
            if found == expected:
                return Check(VERIFIED, what, f"{file.name} has the sha256 of the card")
            if file in map(Path, named):
                return Check(BROKEN, what, f"{file} is not the file of the card ({expected[:12]})")
    return Check(MISSING, what, f"the file is not kept here; the card says sha256 {expected[:12]}")


def _check_teacher(step: Step) -> Check:
    """Checks the file of a teacher that no record here describes."""
    name, expected = step.facts["origin"], step.facts["sha256"]
    what = f"teacher {name}"
    try:
        path = weights_file(Path(name), name)
    except GraftError:
        return Check(MISSING, what, f"its file is not kept here; the record says sha256 {expected[:12]}")
    if digest_of(path) != expected:
        return Check(BROKEN, what, f"{path} is not the file of the record ({expected[:12]})")
    return Check(VERIFIED, what, f"{path} has the sha256 of the record")


def _check_package(what: str, source: Mapping[str, Any], expected: str) -> Check:
    """Checks an installed package of weights: its version by the lock, its files by their digests and the card."""
    from graft.models.weights.package import find_weights

    try:
        found = find_weights(source["package"])
    except GraftError as error:
        return Check(MISSING, what, f"{error.what}; {error.remedy}")
    name = f"{found.name} {found.version}, {found.file}"
    try:
        found.verify(source["sha256"])
    except GraftError as error:
        return Check(BROKEN, what, f"{name}: {error.what}")
    if found.content.sha256 != expected:
        return Check(BROKEN, what, f"{name} is not the file of the card ({expected[:12]})")
    return Check(VERIFIED, what, f"{name} has the sha256 of the card")


def _digest_files(output: str) -> dict[str, str]:
    path = Path(output)
    if path.is_dir():
        return {f"{output}/{name}": sha for name, sha in listing(path).items()}
    return {output: digest_of(path)} if path.is_file() else {}
