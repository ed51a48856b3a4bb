"""The seven records behind a registered version, found on the server digest by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import read_json, sha256_of
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, FINDINGS, STAGES, maker_of
from graft.provenance.tracking import mlflow_store, registry

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion


@dataclass
class Chain:
    """Records by stage, what is missing in a sentence each, and whether the validation they name passed."""

    records: dict[str, Record] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    validation: str = "not found"

    @property
    def is_complete(self) -> bool:
        return not self.problems and set(self.records) == set(STAGES)


def chain_of(store: MlflowClient, version: ModelVersion, folder: Path) -> Chain:
    """Walks back from a version: what each record consumed must be what an earlier stage's record produced.

    Args:
        store: The server.
        version: Of the exported model.
        folder: An empty folder for downloads.
    """
    chain, runs = Chain(), {}
    wanted = {(EXPORTED, version.tags.get(mlflow_store.MODEL_DIGEST, ""))}
    for stage in reversed(STAGES):
        needed = {(path, digest) for path, digest in wanted if maker_of(path) == stage}
        digest = version.tags.get(mlflow_store.RECORD, "") if stage == "export" else None
        for run, record in _records(store, stage, needed, digest, folder):
            if all(record.digest_of(path) == sought for path, sought in needed):
                chain.records[stage], runs[stage] = record, run
                wanted |= {(path, sought) for path, sought in record.inputs.items() if maker_of(path)}
                break
        else:
            names = ", ".join(sorted(path for path, _ in needed)) or "anything that a later stage read"
            chain.problems.append(f"no record of {stage} that wrote {names} as it was read")
    if "validate" in runs:
        chain.validation = _validation(store, runs["validate"], chain.records["validate"], folder)
    return chain


def _records(
    store: MlflowClient, stage: str, needed: set[tuple[str, str]], digest: str | None, folder: Path
) -> Iterator[tuple[Any, Record]]:
    """Records of a stage on the server, newest first; one whose bytes are not those of its digest is left out."""
    tags = {mlflow_store.STAGE: stage}
    tags |= {f"graft.produced.{path}": sought for path, sought in needed if path in STAGES[stage].outputs}
    tags |= {mlflow_store.RECORD: digest} if digest is not None else {}
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    for run in registry.runs_of_stage(store, mlflow_store.experiment_id(store), condition):
        at = folder / run.info.run_id
        at.mkdir(exist_ok=True)
        file = registry.artifact(store, run.info.run_id, f"record/{stage}.json", at)
        if file is None:
            continue
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() == run.data.tags.get(mlflow_store.RECORD):
            yield run, Record.from_bytes(data)


def _validation(store: MlflowClient, run: Any, record: Record, folder: Path) -> str:
    file = registry.artifact(store, run.info.run_id, "validation.json", folder / run.info.run_id)
    if file is None:
        return "report not found"
    if sha256_of(file) != record.files.get(FINDINGS):
        return "report was changed"
    return "passed" if read_json(file)["passed"] else "failed"
