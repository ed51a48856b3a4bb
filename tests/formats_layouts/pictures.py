"""Small images and masks written where a layout has them, and what the stage `ingest` makes of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from graft.data.images.codec import decode_mask
from graft.data.shards import Row, read_rows
from graft.foundation.class_map import ClassMap
from graft.params.sections import Ingest
from pipeline.ingest import ingest

SIZE = (24, 32)


def write_image(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Noise, so that no two are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def write_mask(path: Path, mask: np.ndarray, palette: list[int] | None = None) -> None:
    """A grey PNG, or one with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask.astype(np.uint8))
    if palette is not None:
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(palette)
    image.save(path)


def stripes(*values: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask of upright stripes of these values, uint8 [H, W]."""
    columns = np.arange(size[1]) * len(values) // size[1]
    return np.repeat(np.array(values, np.uint8)[columns][None], size[0], axis=0)


@dataclass(frozen=True)
class Ingested:
    """What the stage wrote."""

    metrics: dict[str, float]
    class_map: ClassMap
    rows: dict[str, Row]
    facts: dict[str, dict[str, Any]]

    def ids(self, split: str) -> list[str]:
        return sorted(id for id, row in self.rows.items() if row.split == split)

    def mask(self, id: str) -> np.ndarray:
        """Class ids, uint8 [H, W]."""
        data = self.rows[id].mask
        assert data is not None
        return decode_mask(data)


def run_ingest(root: Path, out: Path, source: dict[str, Any] | str, task: str = "segmentation") -> Ingested:
    """The stage, and its outputs read again."""
    out.mkdir(parents=True)
    section = Ingest(
        root=str(root), source=source, unlabelled=None, split_seed=7, batch="first", max_pixels=10**6, deliveries={}
    )
    metrics = ingest(task=task, ingest=section, root=root, out=out)
    splits = [folder for folder in out.iterdir() if folder.is_dir()]
    rows = {row.id: row for folder in splits for row in read_rows(folder)}
    facts = {row["id"]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()}
    return Ingested(metrics, ClassMap.read(out / "class_map.json"), rows, facts)
