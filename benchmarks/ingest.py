"""Ingest and validate of many small images, compared with only reading, decoding and hashing them in as many processes.

Each way runs in a process of its own, once on a twentieth of the images and once on all of them. The rates compared are
those of the difference between the two runs, so that imports and process start-up cancel out on both sides.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Figure, Options, Skipped, rate, ratio
from benchmarks.small_images import write_images
from graft.foundation.progress import progress, say
from graft.foundation.workers import num_usable_cores

LEAST_OF_BARE = 0.55
PART = 20
NUM_SCENES, IMAGES_A_SCENE = 500, 40
# A second round takes as long as the first, and shows how far the ratio can be trusted.
NUM_ROUNDS = 2
FREE_BYTES_AN_IMAGE = 600_000


@dataclass(frozen=True)
class Run:
    """Measurements of one process: seconds without imports, and peak memory of it and of its largest worker, in MB."""

    seconds: float
    ingest_seconds: float
    peak_mb: float
    worker_peak_mb: float


def run(options: Options) -> list[Figure]:
    """Writes the images, then runs both ways in turn."""
    few, many = max(options.images // PART, 100), options.images
    with TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < many * FREE_BYTES_AN_IMAGE:
            raise Skipped(f"{many:,} images need {many * FREE_BYTES_AN_IMAGE / 1e9:.0f} GB in {folder.parent}")
        write_images(folder / "many", many, min(NUM_SCENES, -(-many // IMAGES_A_SCENE)))
        link_part(folder / "many", folder / "few", few)
        runs: dict[str, dict[str, list[Run]]] = {way: {"few": [], "many": []} for way in ("bare", "graft")}
        for _ in progress(range(NUM_ROUNDS), "Rounds of bare and Graft", unit="round"):
            for way in runs:
                for size in ("few", "many"):
                    runs[way][size].append(run_process(way, folder / size, folder / "out"))
    return figures(runs, few, many)


def link_part(whole: Path, part: Path, num_images: int) -> None:
    """Links the first and the last images of `whole`, with their masks, into another folder."""
    images = sorted(path for path in whole.rglob("*") if path.suffix in (".png", ".jpg") and ".mask" not in path.name)
    for image in images[: num_images // 2] + images[-(num_images - num_images // 2) :]:
        for path in (image, image.with_name(f"{image.stem}.mask.png")):
            place = part / path.relative_to(whole)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)


def run_process(way: str, images: Path, out: Path) -> Run:
    """Runs one way over one folder, in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.ingest_process", way, str(images), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    say(f"{way}, {images.name}: {said['seconds']:.1f} s")
    return Run(**said)


def figures(runs: dict[str, dict[str, list[Run]]], few: int, many: int) -> list[Figure]:
    """The rates between the two sizes, and the peak memory at both."""
    between = {
        way: [b.seconds - a.seconds for a, b in zip(of["few"], of["many"], strict=True)] for way, of in runs.items()
    }
    bare, ours = between["bare"], between["graft"]
    ingest, validate = (
        [take(run) for run in runs["graft"]["many"]]
        for take in (lambda run: run.ingest_seconds, lambda run: run.seconds - run.ingest_seconds)
    )
    peaks = [
        Figure(f"peak memory of {who}, {size:,} images", max(getattr(run, name) for run in runs["graft"][key]), "MB")
        for who, name in (("ingest and validate", "peak_mb"), ("the largest worker", "worker_peak_mb"))
        for key, size in (("few", few), ("many", many))
    ]
    return [
        ratio("ingest and validate / bare decode and sha256, in images/s", bare, ours, at_least=LEAST_OF_BARE),
        rate(f"bare: read, OpenCV decode, sha256, {num_usable_cores()} processes", bare, many - few),
        rate("Graft: ingest and validate", ours, many - few),
        Figure(f"ingest of {many:,} images", min(ingest), "s", (min(ingest), max(ingest))),
        Figure(f"validate of {many:,} images", min(validate), "s", (min(validate), max(validate))),
        *peaks,
    ]
