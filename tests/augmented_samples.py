"""Training shards of synthetic streets, and the augment stage run on them, for the tests of views."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graft.data.images.codec import encode_png
from graft.data.shards import SHARD_SCHEMA
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.scenes import CLASS_COLOURS, CLASSES, render
from pipeline.augment import augment

SIZE = (72, 96)


def write_train(folder: Path, *, task: str = "segmentation", num_samples: int = 6, **changes: Any) -> None:
    """train/, class_map.json and validation.json, as ingest and validate leave them."""
    rows = [row_of(n, task) | changes for n in range(num_samples)]
    write_rows(folder / "train", rows)
    write_rows(folder / "none", [])
    names, colors = (
        (CLASSES, CLASS_COLOURS) if task == "segmentation" else (("day", "night"), ((240, 200, 60), (40, 60, 140)))
    )
    ClassMap(task, tuple(names), tuple(colors), tuple(range(len(names))), True, True, "scenes").write(
        folder / "class_map.json"
    )
    write_json(folder / "validation.json", {"passed": True, "expectations": []})


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A shard of a split."""
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_SCHEMA), folder / "first-00000.parquet")


@functools.lru_cache(maxsize=256)
def row_of(number: int, task: str) -> dict[str, Any]:
    """A row of a shard: one synthetic street with its mask, or with its light as label."""
    scene = render(3, ("day", "night")[number % 2], number, width=SIZE[1], height=SIZE[0])
    image, mask = encode_png(scene.image), encode_png(scene.mask) if task == "segmentation" else None
    return {
        "id": f"street/{number:04}.png",
        "split": "train",
        "batch": "first",
        "domain": "day",
        "group": str(number),
        "image": image,
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "mask": mask,
        "mask_sha256": mask and hashlib.sha256(mask).hexdigest(),
        "label": number % 2 if task == "classification" else None,
    }


def bare_rows(task: str, num_rows: int) -> list[dict[str, Any]]:
    """Rows of unlabelled streets, others than those that `write_train` writes."""
    bare = {"split": "unlabelled", "mask": None, "mask_sha256": None, "label": None}
    return [row_of(number, task) | bare for number in range(50, 50 + num_rows)]


def run_augment(folder: Path, out: Path, *, task: str = "segmentation", resize: Any = "none", **changes: Any) -> dict:
    """Runs the stage on what `write_train` wrote; `changes` go to the augment section."""
    out.mkdir(parents=True)
    crop = SimpleNamespace(height_px=64, width_px=80)
    section = {"policy": {"name": "street"}, "crop": crop, "views": 3, "storage": "materialised"}
    section |= {"memory": "all", "parent": "none", "unlabelled": "none", "unlabelled_views": 2} | changes
    return augment(
        task=task,
        seed=7,
        preprocess=SimpleNamespace(resize=resize),
        augment=SimpleNamespace(**section),
        train=folder / "train",
        unlabelled=folder / section["unlabelled"],
        class_map=folder / "class_map.json",
        validation=folder / "validation.json",
        parent=folder / section["parent"],
        out=out,
    )
