"""The run of a stage: alone, on sealed inputs, into folders that take the place of the outputs when all is done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of, listing, read_json, remove_abandoned, replace_file, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import say, seconds_in_loops
from graft.params.params_file import load_params
from graft.params.registries import expand_sections
from graft.params.sections import Params, Runtime
from graft.provenance.deliveries import refuse_other_order
from graft.provenance.records import Record
from graft.provenance.seal import DeclaredStage, Seal, read_declaration, seal
from graft.provenance.stages import (
    INGESTED,
    delivery_of,
    is_ingest,
    is_within,
    measured_path,
    record_path,
    recorded_stages,
)


def run_stage(
    stage: str,
    load: Callable[[], Callable[..., dict[str, float]]],
    inputs: dict[str, Path],
    outputs: dict[str, Path],
    extras: Callable[[str], dict[str, Any]] | None = None,
) -> None:
    """Runs one stage and writes its record.

    Args:
        stage: Name of the stage in `dvc.yaml`.
        load: Function that imports and returns the stage function.
        inputs: Paths the stage reads, by argument name.
        outputs: Folders the stage writes, by argument name.
        extras: Function that makes further arguments (a resume folder, a listener) from the fingerprint.
    """
    with hold_lock(stage) as waited:
        params = load_params()
        if stage != "validate" and not is_ingest(stage):
            refuse_other_order(params.ingest.names)
        declared = read_declaration(stage, params)
        _check_paths(declared, inputs, outputs)
        sealed = seal(declared, expand_sections(params, declared.params), runtime_of(declared, params))
        if waited and is_done(sealed):
            say(f"graft {stage}: the run that was under way has finished with the same inputs; its result stands.")
            return
        sections = _sections(declared, params)
        started = time.perf_counter()
        with replace_outputs(stage, outputs) as folders:
            arguments = {**sections, **inputs, **folders, **(extras(sealed.fingerprint) if extras else {})}
            metrics = load()(**arguments)
            sealed.verify()
            _check_params_stayed(sealed)
            written = {path.as_posix(): listing(folders[name]) for name, path in outputs.items()}
        write_record(sealed, written, metrics)
        if "resume" in arguments:  # dvc repro --force would find a finished checkpoint and train nothing
            shutil.rmtree(arguments["resume"], ignore_errors=True)
        seconds = {"seconds": time.perf_counter() - started, "loop_seconds": seconds_in_loops()}
        measure(stage, {"fingerprint": sealed.fingerprint, **seconds})


def runtime_of(declared: DeclaredStage, params: Params) -> Runtime | None:
    """The section `runtime` if the stage computes by it: pretrain-load does only where it learns from images."""
    only_loads = declared.stage == "pretrain-load" and params.pretrain_load.images == "none"
    return params.runtime if "runtime" in declared.params and not only_loads else None


def remove_unlisted() -> None:
    """Removes what ingest wrote of deliveries that params no longer list.

    DVC leaves the outputs of an item that has left a `foreach` where they are, and digests the folder with them in it,
    so that a clone would differ. They stay in DVC's cache, and come back from there with the item.
    """
    listed = load_params().ingest.names
    for folder in sorted(Path(INGESTED).iterdir()) if Path(INGESTED).is_dir() else ():
        if folder.is_dir() and folder.name not in listed and not folder.name.startswith("."):
            say(f"Removed {folder}: params.yaml lists no delivery of this name.")
            shutil.rmtree(folder)
    for stage in recorded_stages():
        delivery = delivery_of(stage)
        if delivery is not None and delivery not in listed:
            record_path(stage).unlink()


def _sections(declared: DeclaredStage, params: Params) -> dict[str, Any]:
    """The arguments that are values of params; an instance of ingest gets the section as if it were the only one."""
    if is_ingest(declared.stage):
        delivery = delivery_of(declared.stage)
        return {"task": params.task, "ingest": params.ingest.of(delivery) if delivery else params.ingest}
    return {name.rpartition(".")[2]: params.section(name) for name in declared.params}


def _check_paths(declared: DeclaredStage, inputs: dict[str, Path], outputs: dict[str, Path]) -> None:
    """Refuses paths that `dvc.yaml` does not declare: the record would name other files than the stage used."""
    deliveries = {INGESTED for path in declared.inputs if is_within(path, INGESTED)}
    pairs = [(inputs, {*declared.inputs, *deliveries}), (outputs, declared.outputs)]
    strange = [path for given, known in pairs for path in given.values() if path not in map(Path, known)]
    if strange:
        raise GraftError(
            f"{', '.join(map(str, strange))}: not declared for {declared.stage}",
            where="dvc.yaml",
            rule="a stage reads and writes what dvc.yaml says, so that its record tells the truth",
            remedy=f"run dvc repro {declared.stage}; your own images are named by ingest.root in params.yaml",
        )


def _check_params_stayed(sealed: Seal) -> None:
    """Refuses a params file edited meanwhile: DVC reads it after the stage has ended and would lock the new values."""
    if expand_sections(load_params(), sealed.stage.params) != sealed.params:
        raise GraftError(
            f"params.yaml changed while {sealed.stage.stage} was running",
            rule="the record of a stage states the values it used",
            remedy="run dvc repro again",
        )


@contextmanager
def hold_lock(stage: str) -> Iterator[bool]:
    """Holds the lock of a stage; yields whether it had to wait for another run of it.

    A killed `dvc` leaves its stage running: the next start must not write to the same folders beside it. Whoever holds
    the lock removes what a killed run was still writing.
    """
    from filelock import FileLock, Timeout

    folder = Path(".locks")
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{stage}.lock")
    try:
        lock.acquire(timeout=0)
        waited = False
    except Timeout:
        say(f"graft {stage}: another run of it is under way here; waiting for it …")
        lock.acquire()
        waited = True
    for file in (record_path(stage), measured_path(stage)):
        remove_abandoned(file)
    try:
        yield waited
    finally:
        lock.release()


@contextmanager
def replace_outputs(stage: str, outputs: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """Yields empty folders to write to; they replace the outputs if the block succeeds and are deleted if it fails."""
    from graft.data.expectations import GateClosed

    folders = {name: path.parent / f".tmp-{stage}-{path.name}" for name, path in outputs.items()}

    def replace() -> None:
        record_path(stage).unlink(missing_ok=True)  # it describes the outputs that are now replaced
        for name, path in outputs.items():
            shutil.rmtree(path, ignore_errors=True)
            folders[name].rename(path)

    try:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        try:
            yield folders
        except GateClosed:  # the gate's report is what a person needs to open it
            replace()
            raise
        replace()
    except BaseException:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def is_done(sealed: Seal) -> bool:
    """Whether the record on disk has this fingerprint, and every output the digest it states."""
    path = sealed.stage.record
    if not path.is_file():
        return False
    record = Record.read(path)
    return record.fingerprint == sealed.fingerprint and all(
        Path(out).exists() and digest_of(Path(out)) == digest for out, digest in record.outputs.items()
    )


def write_record(sealed: Seal, outputs: dict[str, dict[str, str]], metrics: dict[str, float]) -> None:
    """Writes the record of a stage in one step."""
    with replace_file(sealed.stage.record) as pending:
        pending.write_bytes(sealed.record(outputs, metrics).as_bytes())


def measure(stage: str, facts: dict[str, Any]) -> None:
    """Adds measured times, and the fingerprint of what took them, to `reports/measured/<stage>.json`."""
    path = measured_path(stage)
    known = read_json(path) if path.is_file() else {}
    with replace_file(path) as pending:
        write_json(pending, known | facts)
