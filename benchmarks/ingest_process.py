"""The process in which `benchmarks.ingest` measures one way: `python -m benchmarks.ingest_process WAY IMAGES OUT`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from graft.foundation.progress import progress
from graft.foundation.workers import num_usable_cores
from graft.params.sections import Ingest, Validate

# ru_maxrss counts kilobytes on Linux and bytes on macOS.
UNITS_A_MB = 1e6 if sys.platform == "darwin" else 1e3
CHUNK = 64
THRESHOLDS = {
    "min_side_px": 32,
    "max_aspect": 4.0,
    "min_luminance": 8.0,
    "max_luminance": 247.0,
    "min_class_fraction": 0.0005,
    "max_void_fraction": 0.9,
    "near_duplicate_bits": 3,
    "allow": [],
}


def bare(images: Path, out: Path) -> tuple[float, float]:
    """Reads, decodes and hashes every file, with one process per core; returns the seconds, twice."""
    files = sorted(path for path in images.rglob("*") if path.is_file())
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        num_usable_cores(), mp_context=context, initializer=cv2.setNumThreads, initargs=(0,)
    ) as pool:
        digests = pool.map(decode_and_hash, files, chunksize=CHUNK)
        num_files = sum(1 for _ in progress(digests, "Decoding bare", total=len(files), unit="file"))
    assert num_files == len(files)
    seconds = time.perf_counter() - start
    return seconds, seconds


def decode_and_hash(path: Path) -> str:
    """Does the least that a file needs: decodes its pixels once, and returns its sha256."""
    data = path.read_bytes()
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    return hashlib.sha256(data).hexdigest()


def graft(images: Path, out: Path) -> tuple[float, float]:
    """Runs the two stages; returns the seconds of both without their imports, and those of ingest."""
    from graft.scenes import CLASSES
    from pipeline.ingest import ingest

    source = {
        "name": "mask_folder",
        "images": "**/*[0-9].*",
        "masks": "{dir}/{stem}.mask.png",
        "classes": {name: [number] for number, name in enumerate(CLASSES)},
    }
    section = Ingest(
        root=str(images),
        source=source,
        unlabelled=None,
        split_seed=7,
        batch="first",
        max_pixels=100_000_000,
        deliveries={},
    )
    out.mkdir(parents=True)
    start = time.perf_counter()
    (out / "first").mkdir()
    ingest(task="segmentation", ingest=section, root=images, out=out / "first")
    ingesting = time.perf_counter() - start
    return ingesting + time_validate(out), ingesting


def time_validate(ingested: Path) -> float:
    """Runs validate; returns its seconds."""
    import great_expectations  # noqa: F401  takes seven seconds to import, which would count as work

    from graft.data.expectations import GateClosed
    from pipeline.validate import validate

    report, interim = ingested / "validation", ingested / "interim"
    report.mkdir()
    interim.mkdir()
    start = time.perf_counter()
    with contextlib.suppress(GateClosed):  # its findings do not matter here
        validate(
            task="segmentation",
            validate=Validate(**THRESHOLDS),
            ingested=ingested,
            interim=interim,
            out=report,
        )
    return time.perf_counter() - start


def main() -> None:
    """Prints one line of JSON, the fields of `benchmarks.ingest.Run`."""
    way, images, out = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, ingesting = {"bare": bare, "graft": graft}[way](Path(images), Path(out))
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peaks = {"peak_mb": own / UNITS_A_MB, "worker_peak_mb": workers / UNITS_A_MB}
    print(json.dumps({"seconds": seconds, "ingest_seconds": ingesting, **peaks}))


if __name__ == "__main__":
    main()
