"""An image of 20,000×20,000 pixels: `graft predict` compared with a bare loop over its tiles, and its peak memory.

The bare loop reads the same tiles, runs the same file in ONNX Runtime up to class ids, lays one tile over the other
without blending, and writes a TIFF of the same layout at the end. Each way runs in a process of its own, in turn; the
network is an LR-ASPP MobileNetV3-Large without training. The image is a mosaic of drawn streets, as tiles with deflate.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import prepared
from benchmarks.figures import Figure, Options, Skipped, median, ratio
from graft.deployment.export.exported_model import ONNX_FILE, PREDICT_FILE
from graft.deployment.export.onnx_file import write_onnx
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.foundation.progress import progress, say
from graft.models.architectures import build_fresh
from graft.scenes import CLASS_COLOURS, CLASSES, render

LEAST_OF_BARE, MOST_MORE_MEMORY = 0.85, 1.1
SIDE_PX, SMALL_SIDE_PX = 20_000, 4_000
QUICK_SIDES_PX = 5_000, 4_000
TILE_PX = 512
FREE_BYTES_A_PIXEL = 8
# Each takes minutes.
MOST_ROUNDS = 2


@dataclass(frozen=True)
class Run:
    """Measurements of one process: seconds without imports, and peak memory in MB."""

    seconds: float
    peak_mb: float


def run(options: Options) -> list[Figure]:
    """Draws the images, then runs both ways over them in turn."""
    side, small = QUICK_SIDES_PX if options.quick else (SIDE_PX, SMALL_SIDE_PX)
    with TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < side * side * FREE_BYTES_A_PIXEL:
            raise Skipped(f"the image needs {side * side * FREE_BYTES_A_PIXEL / 1e9:.0f} GB in {folder.parent}")
        model = write_model(folder / "model")
        large, little = (draw(folder / f"{pixels}.tif", pixels) for pixels in (side, small))
        runs: dict[str, list[Run]] = {"bare": [], "graft": [], "little": []}
        for _ in progress(range(1 if options.quick else MOST_ROUNDS), "Rounds of bare and Graft", unit="round"):
            for key, way, image in (("little", "graft", little), ("bare", "bare", large), ("graft", "graft", large)):
                runs[key].append(run_process(way, image, model, folder / "out", options.threads))
    return figures(runs, side, small)


def write_model(folder: Path) -> Path:
    """Writes the folder that export would of an untrained model."""
    folder.mkdir()
    choice = {"name": "lraspp"}
    network = build_fresh("segmentation", choice, len(CLASSES), 0).eval()
    spec = prepared.untrained_spec("segmentation", choice, CLASSES, network)
    write_onnx(folder / ONNX_FILE, network, spec, opset=18)
    spec.write(folder / "spec.json")
    write_json(folder / PREDICT_FILE, {"max_pixels": 2_000_000, "overlap_px": 64})
    values = tuple(range(len(CLASSES)))
    ClassMap("segmentation", CLASSES, CLASS_COLOURS, values, True, True, "scenes").write(folder / "class_map.json")
    return folder


def draw(path: Path, side: int) -> Path:
    """Writes a square image whose tiles are a few drawn streets in turn, each compressed once."""
    import imagecodecs
    import tifffile

    scenes = [render(prepared.SEED, "day", number, width=TILE_PX, height=TILE_PX).image for number in range(5)]
    encoded = [imagecodecs.zlib_encode(scene.tobytes(), level=1) for scene in scenes]
    num_tiles = (-(-side // TILE_PX)) ** 2
    tifffile.imwrite(
        path,
        (encoded[number % len(encoded)] for number in range(num_tiles)),
        shape=(side, side, 3),
        dtype="uint8",
        photometric="rgb",
        tile=(TILE_PX, TILE_PX),
        compression="zlib",
        metadata=None,
    )
    return path


def run_process(way: str, image: Path, model: Path, out: Path, num_threads: int) -> Run:
    """Runs one way over one image, in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    paths = [str(path) for path in (image, model, out)]
    command = [sys.executable, "-m", "benchmarks.large_images_process", way, *paths, str(num_threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    said = json.loads(done.stdout.splitlines()[-1])
    say(f"{way}, {image.name}: {said['seconds']:.1f} s, {said['peak_mb']:.0f} MB")
    return Run(**said)


def figures(runs: dict[str, list[Run]], side: int, small: int) -> list[Figure]:
    """The ratio of the rates, the times, and the peak memory at both sizes."""
    seconds = {key: [one.seconds for one in of_one] for key, of_one in runs.items()}
    peak = {key: [one.peak_mb for one in of_one] for key, of_one in runs.items()}
    more = f"peak memory, {side:,}×{side:,} / {small:,}×{small:,} pixels"
    return [
        ratio("graft predict / bare loop over the tiles, in pixels/s", seconds["bare"], seconds["graft"],
              at_least=LEAST_OF_BARE),
        ratio(more, peak["graft"], peak["little"], at_most=MOST_MORE_MEMORY),
        median(f"bare loop, {side:,}×{side:,} pixels", seconds["bare"], "s"),
        median(f"graft predict, {side:,}×{side:,} pixels", seconds["graft"], "s"),
        median(f"graft predict, {small:,}×{small:,} pixels", seconds["little"], "s"),
        Figure(f"peak memory of graft predict, {side:,}×{side:,} pixels", max(peak["graft"]), "MB"),
        Figure(f"peak memory of graft predict, {small:,}×{small:,} pixels", max(peak["little"]), "MB"),
        Figure(f"peak memory of the bare loop, {side:,}×{side:,} pixels", max(peak["bare"]), "MB"),
    ]  # fmt: skip
