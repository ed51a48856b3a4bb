"""The seven records behind a registered version, found on the server digest by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, is_address
from graft.provenance.records import Record
from graft.provenance.stages import (
    EXPORTED,
    FINDINGS,
    INGEST,
    INGESTED,
    STAGES,
    is_ingest,
    is_within,
    maker_of,
    record_path,
    weights_source,
)
from graft.provenance.tracking import mlflow_store, registry, runs

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
        return not self.problems and set(STAGES) <= set(self.records)

    @property
    def ingests(self) -> list[Record]:
        """The records of ingest, one a delivery."""
        return [record for stage, record in self.records.items() if is_ingest(stage)]

    @property
    def parents(self) -> list[ModelAddress]:
        """The registered versions that its weights came from, and that taught it."""
        loaded, tuned = self.records.get("pretrain-load"), self.records.get("fine-tune")
        named = [weights_source(loaded.params).get("model_uri", "")] if loaded else []
        named += [teacher["model"] for teacher in tuned.teachers] if tuned else []
        return [ModelAddress.parse(uri) for uri in named if is_address(uri)]


def trace_records(store: MlflowClient, version: ModelVersion, folder: Path) -> RecordChain:
    """Traces a version back: all that each record consumed, the record of an earlier stage must have produced.

    Args:
        store: Client of the server.
        version: Version of the exported model.
        folder: Empty folder for downloads.
    """
    chain = RecordChain()
    wanted = {(EXPORTED, version.tags.get(mlflow_store.MODEL_DIGEST, ""))}
    for stage in [stage for stage in reversed(STAGES) if stage != INGEST]:
        tags = {mlflow_store.RECORD: version.tags.get(mlflow_store.RECORD, "")} if stage == "export" else {}
        _trace(store, chain, stage, {mlflow_store.STAGE: stage, **tags}, wanted, folder)
    deliveries = sorted(pair for pair in wanted if is_within(pair[0], INGESTED))
    for path, digest in deliveries:
        _trace(store, chain, INGEST, {f"graft.produced.{path}": digest}, {(path, digest)}, folder)
    if not deliveries:  # of a release without them: ingest itself wrote what later stages read
        _trace(store, chain, INGEST, {mlflow_store.STAGE: INGEST}, wanted, folder)
    if "validate" in chain.runs:
        chain.validation = _validation(store, chain, folder)
    return chain


def _trace(
    store: MlflowClient,
    chain: RecordChain,
    stage: str,
    tags: dict[str, str],
    wanted: set[tuple[str, str]],
    folder: Path,
) -> None:
    """Finds the record that wrote all that is wanted of a stage, and adds what that read to what is wanted.

    Only runs with the tags are asked, and with those of whole outputs that are wanted: a record is a download.
    """
    tags = tags | {f"graft.produced.{path}": sought for path, sought in wanted if path in STAGES[stage].outputs}
    expected = sorted(path for path, _ in wanted if maker_of(path) == stage)
    for run, record in _records(store, tags, folder):
        written = {(path, sought) for path, sought in wanted if is_within(path, *record.outputs)}
        if written and all(record.digest_of(path) == sought for path, sought in written):
            chain.records[record.stage], chain.runs[record.stage] = record, run
            wanted |= {(path, sought) for path, sought in record.inputs.items() if maker_of(path)}
            return
    names = ", ".join(expected) or "anything that a later stage read"
    chain.problems.append(f"no record of {stage} that wrote {names} as it was read")


def trace_ancestors(
    store: MlflowClient, chain: RecordChain, folder: Path
) -> Iterator[tuple[ModelAddress, RecordChain]]:
    """Traces the registered versions behind a version, the nearest first: its parents and teachers, and theirs.

    One that was deleted, or that is only a file or a folder, cannot be traced and is left out.

    Args:
        store: Client of the server.
        chain: Records behind the version.
        folder: Folder for downloads.
    """
    left, met = chain.parents, set[ModelAddress]()
    while left:
        address = left.pop(0)
        version = None if address in met else registry.find_version(store, address)
        met.add(address)
        if version is None:
            continue
        place = folder / f"records of {address.name} {version.version}"
        place.mkdir(exist_ok=True)
        found = trace_records(store, version, place)
        yield address, found
        left += found.parents


def fetch_output(store: MlflowClient, chain: RecordChain, path: str, folder: Path) -> Path | None:
    """Fetches a file that a stage wrote from its run; None where the server does not hold it.

    Raises:
        GraftError: The file is not the one in the record.
    """
    stage = next((stage for stage, record in chain.records.items() if path in record.files), None)
    if stage is None:
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


def _records(store: MlflowClient, tags: dict[str, str], folder: Path) -> Iterator[tuple[Any, Record]]:
    """Yields the records of runs with these tags, newest first, but none whose bytes do not match their digest."""
    for run in runs.search_runs(store, tags):
        at = folder / run.info.run_id
        at.mkdir(exist_ok=True)
        stage = run.data.tags.get(mlflow_store.STAGE, "")
        file = runs.fetch_artifact(store, run, f"record/{record_path(stage).name}", at)
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
