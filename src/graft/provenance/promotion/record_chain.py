"""The seven records behind a registered version, found on the server digest by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, FINDINGS, STAGES, maker_of
from graft.provenance.tracking import mlflow_store, runs

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion


@dataclass
class RecordChain:
    """The records behind a version.

    Attributes:
        records: Records by stage.
        runs: Runs of the server that hold them, by stage.
        problems: Sentence for each record that is missing.
        validation: Result of the validation that the records name: `passed`, `failed`, or why it is not known.
    """

    records: dict[str, Record] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    validation: str = "not found"

    @property
    def is_complete(self) -> bool:
        """Whether every stage has its record."""
        return not self.problems and set(self.records) == set(STAGES)


def trace_records(store: MlflowClient, version: ModelVersion, folder: Path) -> RecordChain:
    """Traces a version back: all that each record consumed, the record of an earlier stage must have produced.

    Args:
        store: Client of the server.
        version: Version of the exported model.
        folder: Empty folder for downloads.
    """
    chain = RecordChain()
    wanted = {(EXPORTED, version.tags.get(mlflow_store.MODEL_DIGEST, ""))}
    for stage in reversed(STAGES):
        needed = {(path, digest) for path, digest in wanted if maker_of(path) == stage}
        digest = version.tags.get(mlflow_store.RECORD, "") if stage == "export" else None
        for run, record in _records(store, stage, needed, digest, folder):
            if all(record.digest_of(path) == sought for path, sought in needed):
                chain.records[stage], chain.runs[stage] = record, run
                wanted |= {(path, sought) for path, sought in record.inputs.items() if maker_of(path)}
                break
        else:
            names = ", ".join(sorted(path for path, _ in needed)) or "anything that a later stage read"
            chain.problems.append(f"no record of {stage} that wrote {names} as it was read")
    if "validate" in chain.runs:
        chain.validation = _validation(store, chain, folder)
    return chain


def fetch_output(store: MlflowClient, chain: RecordChain, path: str, folder: Path) -> Path | None:
    """Fetches a file that a stage wrote from its run; None where the server does not hold it.

    Raises:
        GraftError: The file is not the one in the record.
    """
    stage = maker_of(path)
    if stage not in chain.runs:
        return None
    into = folder / chain.runs[stage].info.run_id
    into.mkdir(exist_ok=True)
    file = runs.fetch_artifact(store, chain.runs[stage], Path(path).name, into)
    if file is not None and sha256_of(file) != chain.records[stage].files.get(path):
        raise GraftError(
            f"{path} is not the file that {stage} wrote",
            where=mlflow_store.store_uri(),
            rule="the sha256 of each file is in the record of its stage",
            remedy="graft audit names what was changed",
        )
    return file


def _records(
    store: MlflowClient, stage: str, needed: set[tuple[str, str]], digest: str | None, folder: Path
) -> Iterator[tuple[Any, Record]]:
    """Yields the records of a stage on the server, newest first, but none whose bytes do not match their digest."""
    tags = {mlflow_store.STAGE: stage}
    tags |= {f"graft.produced.{path}": sought for path, sought in needed if path in STAGES[stage].outputs}
    tags |= {mlflow_store.RECORD: digest} if digest is not None else {}
    for run in runs.search_runs(store, tags):
        at = folder / run.info.run_id
        at.mkdir(exist_ok=True)
        file = runs.fetch_artifact(store, run, f"record/{stage}.json", at)
        if file is None:
            continue
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() == run.data.tags.get(mlflow_store.RECORD):
            yield run, Record.from_bytes(data)


def _validation(store: MlflowClient, chain: RecordChain, folder: Path) -> str:
    try:
        file = fetch_output(store, chain, FINDINGS, folder)
    except mlflow_store.Unreachable:
        raise
    except GraftError:
        return "report was changed"
    if file is None:
        return "report not found"
    return "passed" if read_json(file)["passed"] else "failed"
