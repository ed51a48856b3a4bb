"""Import into the index: records of the workspace, runs and versions of the MLflow store."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, warn
from graft.provenance.deliveries import file_beside
from graft.provenance.lineage.freshness import (
    SECONDS_OF_THE_FIRST,
    SECONDS_TO_ANSWER,
    state_of_store,
    state_of_workspace,
)
from graft.provenance.lineage.index import INDEX, Index
from graft.provenance.records import Record
from graft.provenance.stages import RECORDS, record_path

READ_AT = "server read at"
NUM_DOWNLOADS = 8


def open_index(refresh: bool = False, path: Path = INDEX) -> Index:
    """Opens the index and brings it up to date; the store is read only if it changed, or when asked to.

    A server that does not answer is only a warning, because the index may know enough.

    Raises:
        mlflow_store.Unreachable: The store refuses, or `refresh` was asked for and the server does not answer.
    """
    from filelock import FileLock

    from graft.provenance.tracking import mlflow_store

    Path(".locks").mkdir(exist_ok=True)
    with FileLock(".locks/lineage.lock"):
        index = Index(path)
        workspace = state_of_workspace()
        if refresh or index.fact("workspace") != workspace:
            fill_from_workspace(index)
            index.note("workspace", workspace)
        if not mlflow_store.is_off():
            _read_store(index, mlflow_store.store_uri(), refresh)
        index.database.commit()
    return index


def _read_store(index: Index, uri: str, refresh: bool) -> None:
    """Reads the store if it changed since the last time, or when asked to.

    Its state is noted before it is read: a change during the reading is picked up the next time.
    """
    seconds = SECONDS_TO_ANSWER if index.fact(READ_AT) else SECONDS_OF_THE_FIRST
    state, server = state_of_store(uri, seconds), uri.startswith(("http://", "https://"))
    if state is None and server and not refresh:
        warn(f"{uri} does not answer; what it held was read: {index.fact(READ_AT) or 'never'}")
        return
    if (refresh and server) or (state is not None and (refresh or index.fact("store") != state)):
        fill_from_server(index)
        index.note("store", state or "")
        index.note(READ_AT, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))


def fill_from_workspace(index: Index) -> None:
    """Takes every record in `reports/records`, with the file beside it that lists what its stage saw."""
    for file in sorted(RECORDS.glob("*.json")):
        try:
            digest = index.add_record(file.read_bytes())
        except GraftError:  # damaged; graft audit reports it
            continue
        record = Record.read(file)
        beside = Path(file_beside(record) or "")
        if beside.is_file() and record.files.get(beside.as_posix()) == sha256_of(beside):
            take_beside(index, digest, record.stage, beside)


def fill_from_server(index: Index) -> None:
    """Takes every published record that the index lacks, with the file beside it if there is one, and every version.

    Raises:
        mlflow_store.Unreachable: No server answers, or it refuses.
    """
    from graft.provenance.tracking import mlflow_store, runs

    with mlflow_store.explain_refusals():
        client = mlflow_store.client()
        published = runs.search_runs(client, {mlflow_store.COMPLETE: "true"}, page_size=500)
        new = [run for run in published if _is_new(index, run)]
        if new:
            _take_runs(index, client, new)
        index.replace_versions(list(_registered_versions(client)))


def _take_runs(index: Index, client: Any, runs: list[Any]) -> None:
    """Downloads in parallel, because a server answers slowly; only this thread writes the index."""
    pool = ThreadPoolExecutor(NUM_DOWNLOADS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetched = pool.map(partial(_fetch, client=client, folder=Path(folder)), runs)
            shown = progress(fetched, "Reading records from MLflow", total=len(runs), unit="run")
            for run, found in zip(runs, shown, strict=True):
                if found is not None:
                    _take(index, run, *found)
                    index.database.commit()
        finally:
            pool.shutdown(cancel_futures=True)


def take_beside(index: Index, record: str, stage: str, file: Path) -> None:
    """Takes the file that says more than the record of its stage."""
    if stage == "pretrain-load":
        index.add_card(record, read_json(file))
    elif stage == "fine-tune":
        index.add_seen(record, read_json(file))
    elif not index.is_listed(record):
        _take_manifest(index, record, file)


def _take_manifest(index: Index, record: str, manifest: Path) -> None:
    import pyarrow.parquet as pq

    columns = ["id", "batch", "image_sha256", "mask_sha256", "split"]
    rows = pq.read_table(manifest, columns=columns).to_pylist()
    index.add_samples(record, ((row["id"], row["batch"], row["image_sha256"]) for row in rows))
    index.add_masks((row["mask_sha256"], row["image_sha256"]) for row in rows if row["mask_sha256"])
    splits: dict[str, list[str]] = {}
    for row in rows:
        splits.setdefault(row["split"], []).append(row["image_sha256"])
    index.add_splits(record, splits)


def _is_new(index: Index, run: Any) -> bool:
    from graft.provenance.tracking import mlflow_store, runs

    digest = run.data.tags.get(mlflow_store.RECORD)
    if digest is None or digest.startswith(runs.DOUBLE):
        return False
    return index.run_of(digest) is None or not index.has_beside(digest)


def _fetch(run: Any, client: Any, folder: Path) -> tuple[bytes, Path | None] | None:
    """The record of a run and the file beside it; None if it was published before records were artifacts."""
    from graft.provenance.tracking import mlflow_store, runs

    stage, into = run.data.tags.get(mlflow_store.STAGE, ""), folder / run.info.run_id
    into.mkdir()
    file = runs.fetch_artifact(client, run, f"record/{record_path(stage).name}", into)
    if file is None:
        return None
    data = file.read_bytes()
    beside = _beside(data)  # absent if the workspace had lost it
    return data, runs.fetch_artifact(client, run, Path(beside).name, into) if beside else None


def _beside(data: bytes) -> str | None:
    """The path of the file beside a record; None if it has none, or is none."""
    try:
        return file_beside(Record.from_bytes(data))
    except GraftError:
        return None


def _take(index: Index, run: Any, data: bytes, beside: Path | None) -> None:
    """Takes the record of a run, and the file beside it, if they are what their digests say."""
    from graft.provenance.tracking import mlflow_store

    if hashlib.sha256(data).hexdigest() != run.data.tags[mlflow_store.RECORD]:
        return
    digest, record = index.add_record(data, run.info.run_id), Record.from_bytes(data)
    if beside is not None and sha256_of(beside) == record.files.get(file_beside(record) or ""):
        take_beside(index, digest, record.stage, beside)


def _registered_versions(client: Any) -> Iterator[dict[str, Any]]:
    from graft.provenance.tracking import mlflow_store

    for model in client.search_registered_models(max_results=1000):
        for version in client.search_model_versions(f"name = '{model.name}'"):
            # A version that lost a tag still saw its images.
            if {mlflow_store.MODEL_DIGEST, mlflow_store.RECORD} & set(version.tags):
                yield _describe(version, model.aliases)


def _describe(version: Any, aliases: Mapping[str, str]) -> dict[str, Any]:
    from graft.provenance.promotion.verdict import VERDICT_TAG
    from graft.provenance.tracking import mlflow_store

    return {
        "verdict": version.tags.get(VERDICT_TAG),
        "name": version.name,
        "number": int(version.version),
        "record": version.tags.get(mlflow_store.RECORD),
        "model": version.tags.get(mlflow_store.MODEL_DIGEST, ""),
        "run": version.run_id,
        "commit": version.tags.get("mlflow.source.git.commit"),
        "created": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(version.creation_timestamp / 1000)),
        "aliases": sorted(alias for alias, number in aliases.items() if int(number) == int(version.version)),
    }
