"""The first reading of a team's server: 50 versions trained on up to 100,000 images, every record and list over HTTP.

The server is that of `compose.yaml` without containers: MLflow with passwords on PostgreSQL, two workers, artifacts
through the server. Deliveries are ten, so ten ingest runs serve fifty trainings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.figures import Figure, Options, median
from graft.lineage.filling import BESIDE_RECORD
from graft.lineage.index import INDEX, Index
from graft.progress import progress
from graft.sample import sha256_of, write_json
from tests.end_to_end.team_server import team_server
from tests.synthetic_lineage import add, seen, sha

NUM_IMAGES, NUM_VERSIONS, NUM_DELIVERIES = 100_000, 50, 10
STAGES = ("ingest", "validate", "augment", "pretrain-load", "fine-tune", "evaluate", "export")
NUM_WORKERS, NUM_PUBLISHING = 2, 4
MOST_SECONDS = 60.0


def run(options: Options) -> list[Figure]:
    """`graft lineage --refresh` as a whole process, with no index yet; then with one."""
    num_images, num_versions = (2_000, 3) if options.quick else (NUM_IMAGES, NUM_VERSIONS)
    with tempfile.TemporaryDirectory() as name, team_server(NUM_WORKERS) as login, mock.patch.dict(os.environ, login):
        root = Path(name)
        (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
        num_runs = publish_all(root / "published", num_images, num_versions)
        first, later = [], []
        for _ in range(min(options.rounds, 3)):
            (root / INDEX).unlink(missing_ok=True)
            first.append(seconds_to_read(root))
            later.append(seconds_to_read(root))
    size = f"{num_images:,} images, {num_versions} versions, {num_runs} runs"
    return [
        replace(median(f"first reading of the server, {size}", first, "s"), at_most=MOST_SECONDS),
        median("the same again, nothing new", later, "s"),
    ]


def publish_all(folder: Path, num_images: int, num_versions: int) -> int:
    """Puts every run on the server as `graft publish` would, as far as lineage reads them; returns how many."""
    from graft import tracking

    client = tracking.client()

    def publish(made: tuple[str, bytes, Path | None]) -> None:
        stage, data, beside = made
        into = folder / sha(data)
        into.mkdir(parents=True)
        (into / f"{stage}.json").write_bytes(data)
        tags = {tracking.STAGE: stage, tracking.RECORD: sha256_of(into / f"{stage}.json"), tracking.COMPLETE: "true"}
        identity = tracking.create_run(client, stage, tags).info.run_id
        client.log_artifact(identity, str(into / f"{stage}.json"), "record")
        if beside is not None:
            client.log_artifact(identity, str(beside))

    folder.mkdir()
    made = list(records(folder, num_images, num_versions))
    with ThreadPoolExecutor(NUM_PUBLISHING) as pool:
        return len(list(progress(pool.map(publish, made), "Publishing runs", total=len(made), unit="run")))


def records(folder: Path, num_images: int, num_versions: int) -> Iterator[tuple[str, bytes, Path | None]]:
    """Stage, record and the file beside it of every run."""
    index = Index(folder / "source.sqlite")
    images = [sha("image", number) for number in range(num_images)]
    for number in range(1, num_versions + 1):
        for stage in STAGES:
            if stage == "ingest" and number > NUM_DELIVERIES:
                continue
            record = index.record(add(index, stage, number, {}, f"outputs/{stage}/file"))
            assert record is not None
            beside = _beside(folder / f"{number}", stage, number, images)
            if beside is not None:
                record["files"][BESIDE_RECORD[stage]] = sha256_of(beside)
            yield stage, json.dumps(record).encode(), beside
    index.close()


def _beside(folder: Path, stage: str, number: int, images: list[str]) -> Path | None:
    """The manifest of an ingest, the card of weights, the images a training saw."""
    if stage not in BESIDE_RECORD:
        return None
    folder.mkdir(exist_ok=True)
    file = folder / Path(BESIDE_RECORD[stage]).name
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


def seconds_to_read(root: Path) -> float:
    """Of a whole process that asks the server."""
    graft = Path(sysconfig.get_path("scripts")) / "graft"
    command = [sys.executable, str(graft), "lineage", "--refresh", "--of", "delivery3"]
    start = time.perf_counter()
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
