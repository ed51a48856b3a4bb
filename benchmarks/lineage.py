"""`graft lineage` in both directions, from a local index of 100,000 images and 50 versions, as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure, Options, interleave, median, ratio
from graft.provenance.lineage.index import INDEX
from tests.synthetic_lineage import NAME, fill, sha

NUM_IMAGES, NUM_VERSIONS = 100_000, 50
MOST_SECONDS = 2.0


def run(options: Options) -> list[Figure]:
    """Measures processes from start to end, and `graft --help` for comparison, which does nothing."""
    num_images = 2_000 if options.quick else NUM_IMAGES
    graft = Path(sysconfig.get_path("scripts")) / "graft"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
        fill(root / INDEX, num_images, NUM_VERSIONS).close()
        asked = {
            "a model": ["lineage", f"models:/{NAME}@champion"],
            "an image": ["lineage", "--of", sha("image", 1_042)],
            "a delivery": ["lineage", "--of", "delivery3"],
            "help": ["--help"],
        }
        ways = {
            what: lambda words=words: _run([sys.executable, str(graft), *words], root) for what, words in asked.items()
        }
        seconds = interleave(ways, options.rounds, "Asking for lineage")
    size = f"{num_images:,} images, {NUM_VERSIONS} versions"
    bounded = [
        replace(median(f"graft lineage of {what}, {size}", seconds[what], "s"), at_most=MOST_SECONDS)
        for what in ("a model", "an image", "a delivery")
    ]
    return [*bounded, ratio("graft lineage --of DELIVERY / graft --help", seconds["a delivery"], seconds["help"])]


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"GRAFT_TRACKING": "off"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
