"""Data sets for the benchmarks, made by the stages or as plain files, and the spec of an untrained model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.data.shards import read_rows
from graft.foundation.content import write_json
from graft.models.architectures import Model, resolve_model
from graft.models.saved_model import ModelSpec
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD
from graft.params.sections import Augment, CropSize, Ingest, Preprocess
from pipeline.augment import augment
from pipeline.ingest import ingest

SEED = 7
MOST_PIXELS = 100_000_000


def scenes_source(num_train: int, num_val: int = 1, *, width_px: int, height_px: int) -> dict[str, Any]:
    """The source of synthetic streets, by day and in rain at night in turn."""
    counts = {"num_train": num_train, "num_val": num_val, "num_test": 0}
    return {"name": "scenes", "domain": ["day", "night_rain"], **counts, "width_px": width_px, "height_px": height_px}


def ingest_source(source: dict[str, Any], root: Path, out: Path, task: str = "segmentation") -> Path:
    """Ingests a source for a task; returns `out`."""
    out.mkdir(parents=True)
    section = Ingest(
        root=str(root),
        source=source,
        unlabelled=None,
        split_seed=SEED,
        batch="first",
        max_pixels=MOST_PIXELS,
        deliveries={},
    )
    ingest(task=task, ingest=section, root=root, out=out)
    return out


def make_views(
    data: Path,
    out: Path,
    crop: tuple[int, int],
    num_views: int,
    policy: str = "street",
    task: str = "segmentation",
) -> float:
    """Makes the training views of ingested data in `out`; returns the seconds it took."""
    out.mkdir(parents=True)
    write_json(data / "validation.json", {"passed": True, "expectations": []})
    start = time.perf_counter()
    augment(
        task=task,
        seed=SEED,
        preprocess=Preprocess(resize="none"),
        augment=Augment(
            memory="all",
            parent="none",
            policy={"name": policy},
            crop=CropSize(height_px=crop[0], width_px=crop[1]),
            views=num_views,
            storage="materialised",
            unlabelled="none",
            unlabelled_views=1,
        ),
        train=data / "train",
        unlabelled=data / "none",
        class_map=data / "class_map.json",
        validation=data / "validation.json",
        parent=data / "none",
        out=out,
    )
    return time.perf_counter() - start


def untrained_spec(task: str, choice: dict[str, Any], class_names: Sequence[str], model: Model) -> ModelSpec:
    """The spec of an untrained model for images of their original size."""
    return ModelSpec(
        task=task,
        model=resolve_model(task, choice).as_dict(),
        num_classes=len(class_names),
        class_names=tuple(class_names),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        resize={"name": "none"},
        padding_multiple=model.padding_multiple,
        synthetic=True,
        min_side_px=model.min_side_px,
    )


def write_files(shards: Path, out: Path) -> list[tuple[Path, Path]]:
    """Writes each row as an image file and an index PNG of its mask; returns the pairs of paths."""
    out.mkdir(parents=True)
    pairs = []
    for number, row in enumerate(read_rows(shards)):
        image, mask = out / f"{number:05d}.image", out / f"{number:05d}.mask.png"
        image.write_bytes(row.image)
        mask.write_bytes(row.mask or b"")
        pairs.append((image, mask))
    return pairs
