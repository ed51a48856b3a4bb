"""The first reading of a team's server: 50 versions trained on up to 100,000 images, every record and list over HTTP.

The server is the one of `compose.yaml` without containers: MLflow with passwords on PostgreSQL, two workers, artifacts
through the server. There are ten deliveries, so ten ingest runs serve fifty trainings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.figures import Figure, Options, median
from graft.foundation.content import sha256_of, write_json
from graft.foundation.progress import progress
from graft.provenance.deliveries import file_beside
from graft.provenance.lineage.index import INDEX, Index
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED
from graft.provenance.tracking import mlflow_store, runs
from tests.end_to_end.team_server import team_server
from tests.synthetic_lineage import NAME, add, seen, sha

NUM_IMAGES, NUM_VERSIONS, NUM_DELIVERIES = 100_000, 50, 10
OUTPUTS = {
    "ingest": "data/interim/train.parquet",
    "validate": "reports/validation/validation.json",
    "augment": "data/augmented/images.npy",
    "pretrain-load": "models/pretrained/weights.safetensors",
    "fine-tune": "models/fine_tuned/model.safetensors",
    "evaluate": "reports/evaluation/metrics.json",
    "export": "models/exported/model.onnx",
}
NUM_WORKERS, NUM_PUBLISHING = 2, 4
MOST_SECONDS = 60.0


def run(options: Options) -> list[Figure]:
    """Measures `graft lineage --refresh` as a whole process, first without an index, then with one."""
    num_images, num_versions = (2_000, 3) if options.quick else (NUM_IMAGES, NUM_VERSIONS)
    with tempfile.TemporaryDirectory() as name, team_server(NUM_WORKERS) as login, mock.patch.dict(os.environ, login):
        root = Path(name)
        (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
        num_runs = publish_all(root / "published", num_images, num_versions)
        first, later = [], []
        for _ in range(min(options.rounds, 3)):
            (root / INDEX).unlink(missing_ok=True)
            first.append(time_reading(root))
            later.append(time_reading(root))
    size = f"{num_images:,} images, {num_versions} versions, {num_runs} runs"
    return [
        replace(median(f"first reading of the server, {size}", first, "s"), at_most=MOST_SECONDS),
        median("the same again, nothing new", later, "s"),
    ]


def publish_all(folder: Path, num_images: int, num_versions: int) -> int:
    """Puts all runs and versions on the server, as far as lineage reads them; returns the number of runs."""
    folder.mkdir()
    made = list(make_records(folder, num_images, num_versions))
    client = mlflow_store.client()
    client.create_registered_model(NAME)
    with ThreadPoolExecutor(NUM_PUBLISHING) as pool:
        published = pool.map(partial(publish, client, folder), made)
        return len(list(progress(published, "Publishing runs", total=len(made), unit="run")))


def publish(client: Any, folder: Path, made: tuple[Record, Path | None]) -> None:
    """Publishes a run with its record and the file beside it, and for an export the version."""
    record, beside = made
    stage = record.stage
    file = folder / record.fingerprint / f"{stage}.json"
    file.parent.mkdir()
    file.write_bytes(record.as_bytes())
    digest = sha256_of(file)
    tags = {mlflow_store.STAGE: stage, mlflow_store.RECORD: digest, mlflow_store.COMPLETE: "true"}
    run = runs.create_run(client, stage, tags).info
    client.log_artifact(run.run_id, str(file), "record")
    if beside is not None:
        client.log_artifact(run.run_id, str(beside))
    if stage == "export":
        about = {mlflow_store.RECORD: digest, mlflow_store.MODEL_DIGEST: record.outputs[EXPORTED]}
        client.create_model_version(NAME, f"{run.artifact_uri}/record", run.run_id, about)


def make_records(folder: Path, num_images: int, num_versions: int) -> Iterator[tuple[Record, Path | None]]:
    """Makes the record of every run and the file beside it; each stage reads what the stages before it wrote."""
    index = Index(folder / "source.sqlite")
    images = [sha("image", number) for number in range(num_images)]
    for number in range(1, num_versions + 1):
        inputs: dict[str, str] = {}
        for stage in OUTPUTS:
            of = min(number, NUM_DELIVERIES) if stage == "ingest" else number
            record = index.record(add(index, stage, of, inputs, OUTPUTS[stage]))
            assert record is not None
            inputs = {**inputs, **record.outputs}
            if of != number:
                continue
            name = file_beside(record)
            beside = None if name is None else _beside(folder / f"{number}", stage, name, number, images)
            if name is not None and beside is not None:
                files = {**record.files, name: sha256_of(beside)}
                record = Record.from_content({**record.content, "files": files})
            yield record, beside
    index.close()


def _beside(folder: Path, stage: str, name: str, number: int, images: list[str]) -> Path:
    """Writes the file beside a record: a manifest, the card of weights, or the images a training saw."""
    folder.mkdir(exist_ok=True)
    file = folder / Path(name).name
    content: Mapping[str, Any] = {"name": "bundled", "sha256": sha("weights")}
    if stage == "ingest":
        _write_manifest(file, images)
        return file
    if stage == "fine-tune":
        content = {"train": [digest for n, digest in enumerate(images) if seen(number, n)], "val": []}
    write_json(file, content)
    return file


def _write_manifest(file: Path, images: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    batches = [f"delivery{number % NUM_DELIVERIES}" for number in range(len(images))]
    names = [f"clip{number % 97}/{number:06d}.jpg" for number in range(len(images))]
    pq.write_table(pa.table({"id": names, "batch": batches, "image_sha256": images}), file)


def time_reading(root: Path) -> float:
    """The seconds of a process that reads the server and prints which versions saw a delivery."""
    graft = Path(sysconfig.get_path("scripts")) / "graft"
    command = [sys.executable, str(graft), "lineage", "--refresh", "--of", "delivery3"]
    start = time.perf_counter()
    answer = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - start
    assert f"models:/{NAME}/3" in answer, answer
    return seconds
