"""The process in which `benchmarks.large_images` measures one way: `python -m … WAY IMAGE MODEL OUT THREADS`."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graft.deployment.export.exported_model import classifier_of, open_exported
from graft.deployment.large_predictions import MOST_CHUNK_PIXELS, Targets, open_large, predict_large
from graft.foundation.progress import progress
from graft.inference.tiles import tile_size, tile_weights

STATUS = Path("/proc/self/status")
WRITTEN_TILE_PX = 512


def bare(image: Path, model: Path, out: Path, num_threads: int) -> None:
    """Reads tile by tile, runs ONNX Runtime, and writes the class ids, which are held whole."""
    import tifffile

    exported, classify = open_exported(model, num_threads=1), classifier_of(model / "model.onnx", num_threads)
    multiple, tiling = exported.spec.padding_multiple, exported.tiling
    with tifffile.TiffFile(image) as file:
        page = file.pages.first
        height, width = page.shape[:2]
        ids = np.empty((height, width), np.uint8)
        tile_height, tile_width = tile_size(height, width, multiple, tiling.max_pixels, tiling.overlap_px)
        down, across = (tile_weights(side, tile, tiling.overlap_px)
                        for side, tile in ((height, tile_height), (width, tile_width)))  # fmt: skip
        places = [(top, left) for top, _ in down for left, _ in across]
        for top, left in progress(places, "Predicting bare", unit="tile"):
            tile = np.empty((tile_height, tile_width, 3), np.uint8)
            for row, column, chunk in chunks(page, top, left, tile_height, tile_width):
                first_row, first_column = max(row, top), max(column, left)
                part = chunk[
                    first_row - row : top + tile_height - row, first_column - column : left + tile_width - column
                ]
                target = tile[first_row - top :, first_column - left :]
                target[: part.shape[0], : part.shape[1]] = part
            ids[top : top + tile_height, left : left + tile_width] = classify(tile[None])[0]
    options = {"tile": (WRITTEN_TILE_PX, WRITTEN_TILE_PX), "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(out / "bare.tif", ids, compression="zlib", compressionargs={"level": 1}, maxworkers=1, **options)


def chunks(page: object, top: int, left: int, height: int, width: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields the tiles of a page that a window touches, unfolded, each with its first row and column."""
    side = page.tilewidth
    across = -(-page.imagewidth // side)
    for row in range(top // side, (top + height - 1) // side + 1):
        for column in range(left // side, (left + width - 1) // side + 1):
            number = row * across + column
            page.parent.filehandle.seek(page.dataoffsets[number])
            chunk, _, _ = page.decode(page.parent.filehandle.read(page.databytecounts[number]), number)
            yield row * side, column * side, chunk[0]


def graft(image: Path, model: Path, out: Path, num_threads: int) -> None:
    """Predicts as `graft predict` does, with a number of threads."""
    exported = open_exported(model, num_threads=num_threads)
    opened = open_large(image, exported)
    if opened is None:  # small and without georeference: predicted by windows all the same
        from graft.data.images.large_images import LargeImage

        opened = LargeImage(image, exported.spec, max_pixels=MOST_CHUNK_PIXELS)
    predict_large(image, opened, exported, Targets(out / "mask.tif", out / "overlay.png", None))


def peak_mb() -> float:
    """Peak memory of this process; where `/proc` says it without what the parent held when it started this one."""
    if STATUS.is_file() and (found := re.search(r"VmHWM:\s+(\d+)", STATUS.read_text(encoding="utf-8"))):
        return int(found[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Runs one way and prints what was measured as a line of JSON."""
    way, image, model, out = sys.argv[1], *map(Path, sys.argv[2:5])
    out.mkdir()
    start = time.perf_counter()
    {"bare": bare, "graft": graft}[way](image, model, out, int(sys.argv[5]))
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
