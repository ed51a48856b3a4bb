"""The seven records behind a registered version, found on the server digest by digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import digest_of_listing, read_json, sha256_of
from graft.provenance.tracking import mlflow_store, runs

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion

STAGES = ("ingest", "validate", "augment", "pretrain-load", "fine-tune", "evaluate", "export")
MADE_BY = {
    "data/interim": "ingest",
    "reports/validation": "validate",
    "data/augmented": "augment",
    "models/pretrained": "pretrain-load",
    "models/fine_tuned": "fine-tune",
    "reports/fine_tuning": "fine-tune",
    "reports/evaluation": "evaluate",
    "models/exported": "export",
}
VALIDATION = "reports/validation/validation.json"


@dataclass
class RecordChain:
    """The records behind a version.

    Attributes:
        records: Records by stage.
        problems: Sentence for each record that is missing.
        validation: Result of the validation that the records name: `passed`, `failed`, or why it is not known.
    """

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
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
    chain, found = RecordChain(), {}
    wanted = {("models/exported", version.tags.get(mlflow_store.MODEL_DIGEST, ""))}
    for stage in reversed(STAGES):
        needed = {(path, digest) for path, digest in wanted if _stage_that_made(path) == stage}
        digest = version.tags.get(mlflow_store.RECORD, "") if stage == "export" else None
        for run, record in _records(store, stage, needed, digest, folder):
            if all(digest_in(record, path) == sought for path, sought in needed):
                chain.records[stage], found[stage] = record, run
                wanted |= {(path, sought) for path, sought in record["inputs"].items() if _stage_that_made(path)}
                break
        else:
            names = ", ".join(sorted(path for path, _ in needed)) or "anything that a later stage read"
            chain.problems.append(f"no record of {stage} that wrote {names} as it was read")
    if "validate" in found:
        chain.validation = _validation(store, found["validate"], chain.records["validate"], folder)
    return chain


def digest_in(record: Mapping[str, Any], path: str) -> str | None:
    """The digest of an output of this record, of a file in one, or of a folder in one."""
    files: Mapping[str, str] = record["files"]
    inside = {name[len(path) + 1 :]: sha for name, sha in files.items() if name.startswith(f"{path}/")}
    return record["outputs"].get(path) or files.get(path) or (digest_of_listing(inside) if inside else None)


def _stage_that_made(path: str) -> str | None:
    return next((stage for made, stage in MADE_BY.items() if path == made or path.startswith(f"{made}/")), None)


def _records(
    store: MlflowClient, stage: str, needed: set[tuple[str, str]], digest: str | None, folder: Path
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yields the records of a stage on the server, newest first, but none whose bytes do not match their digest."""
    tags = {mlflow_store.STAGE: stage}
    tags |= {f"graft.produced.{path}": sought for path, sought in needed if path in MADE_BY}
    tags |= {mlflow_store.RECORD: digest} if digest is not None else {}
    for run in runs.search_runs(store, tags):
        at = folder / run.info.run_id
        at.mkdir(exist_ok=True)
        file = runs.fetch_artifact(store, run, f"record/{stage}.json", at)
        if file is None:
            continue
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() == run.data.tags.get(mlflow_store.RECORD):
            yield run, json.loads(data)


def _validation(store: MlflowClient, run: Any, record: Mapping[str, Any], folder: Path) -> str:
    file = runs.fetch_artifact(store, run, "validation.json", folder / run.info.run_id)
    if file is None:
        return "report not found"
    if sha256_of(file) != record["files"].get(VALIDATION):
        return "report was changed"
    return "passed" if read_json(file)["passed"] else "failed"
