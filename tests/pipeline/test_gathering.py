"""Deliveries as one data set: classes that grow, ids and masks of the whole, and what does not go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from graft.data.deliveries import gather, merge_class_maps
from graft.data.images.codec import decode_mask
from graft.data.shards import read_rows
from graft.foundation.class_map import ClassMap
from graft.foundation.content import listing, sha256_of
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest
from pipeline.ingest import ingest

FIRST = {"road": [0], "car": [1]}
BOTH = {"train": [[0, 1], [1, 1]], "val": [[0, 1], [0, 0]]}


def class_map(names: tuple[str, ...], values: tuple[Any, ...], **changed: Any) -> ClassMap:
    colours = tuple((number, len(names), 0) for number in range(len(names)))
    return replace(ClassMap("segmentation", names, colours, values, False, False, "mask_folder"), **changed)


def pictures(root: Path, seed: int, masks: dict[str, list[list[int]]]) -> Path:
    """Noise of 32 x 32 pixels in `<split>/`, and the masks given, each value as a tile of 16 x 16 pixels."""
    generator = np.random.default_rng(seed)
    for split, values in masks.items():
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        tile = np.kron(np.array(values, np.uint8), np.ones((16, 16), np.uint8))
        Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(root / f"images/{split}/a.png")
        Image.fromarray(tile).save(root / f"masks/{split}/a.png")
    return root


def deliver(folder: Path, name: str, root: Path, classes: dict[str, Any], front: str | None = None) -> Path:
    """Ingests a folder of `pictures` as the delivery of this name, into the folder of this name."""
    source = {"name": "mask_folder", "images": "images/**/*.png", "masks": "masks/{subdir}/{stem}.png"}
    source |= {"classes": classes, "val_fraction": 0.2, "test_fraction": 0.0}
    facts = {"unlabelled": None, "split_seed": 7, "batch": name, "max_pixels": 10**6, "deliveries": {}}
    (folder / name).mkdir(parents=True)
    section = Ingest(root=str(root), source=source, **facts)
    front = f"{name}/" if front is None else front
    ingest(task="segmentation", ingest=section, root=root, out=folder / name, front=front)
    return folder


def test_known_ids_stay_and_new_classes_follow_in_their_order():
    first = class_map(("road", "car"), (0, 1))
    second = class_map(("road", "fox", "car"), (0, 5, 1), source="coco", licence="CC-BY-4.0")
    third = class_map(("elk", "fox"), (6, 5), void_values=(9, 5))
    merged = merge_class_maps({"first": first, "b": second, "a": third})
    assert merged.names == ("road", "car", "fox", "elk")
    assert merged.source_values == (0, 1, 5, 6)
    assert merged.colors == ((0, 2, 0), (1, 2, 0), (1, 3, 0), (0, 2, 0))
    assert (merged.source, merged.licence) == ("mask_folder; coco", "unknown; CC-BY-4.0")
    assert merged.void_values == (9,)  # 5 is the fox, whatever the last delivery ignores
    assert merge_class_maps({"first": first, "a": third, "b": second}).names == ("road", "car", "elk", "fox")
    assert merge_class_maps({"first": first}) == first


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"channels": ("red", "green", "blue", "near")},
            r"(?s)deliveries\.new: .*channels red, green, blue, near; those of",
        ),
        ({"max_value": 4095}, r"its max_value is 4095, that of first None"),
        ({"task": "classification"}, r"it is for classification, and first for segmentation"),
        ({"renamed": ("road", "auto")}, r"1 stands for auto, and for car in the deliveries before: name the class car"),
        ({"source_values": ((0, "5-9"), 7)}, None),
        ({"renamed": ("road", "fox"), "source_values": (0, ("1-3", 8))}, r"1 stands for fox, and for car"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_name_of_the_delivery(changed, said):
    names = changed.pop("renamed", ("road", "car"))
    maps = {"first": class_map(("road", "car"), (0, 1)), "new": class_map(names, (0, 1), **changed)}
    if said is None:
        assert merge_class_maps(maps).source_values == (0, 1)
        return
    with pytest.raises(GraftError, match=said):
        merge_class_maps(maps)


def test_one_delivery_keeps_every_byte(tmp_path):
    folder = deliver(tmp_path / "in", "first", pictures(tmp_path / "raw", 1, BOTH), FIRST, "")
    gather(folder, ["first"], tmp_path / "out")
    assert listing(tmp_path / "out") == listing(folder / "first")
    assert {row.id for row in read_rows(tmp_path / "out/train")} == {"images/train/a.png"}


def test_masks_counts_and_labels_are_those_of_the_whole(tmp_path):
    first = pictures(tmp_path / "raw", 1, BOTH)
    second = pictures(tmp_path / "new", 2, {"train": [[5, 1], [0, 5]], "val": [[0, 0], [0, 1]]})
    folder = deliver(tmp_path / "in", "first", first, FIRST, "")
    deliver(folder, "new", second, {"fox": [5], "road": [0], "car": [1]})
    (folder / "gone").mkdir()  # a delivery that was taken out
    out = tmp_path / "out"
    assert gather(folder, ["first", "new"], out).names == ("road", "car", "fox")
    assert sha256_of(out / "train/first-00000.parquet") == sha256_of(folder / "first/train/first-00000.parquet")
    rows = {row.id: row for row in read_rows(out / "train")}
    assert {row.batch for row in rows.values()} == {"first", "new"}
    mask = decode_mask(rows["new/images/train/a.png"].mask)
    assert mask[::16, ::16].tolist() == [[2, 1], [0, 2]]
    listed = {row["id"]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()}
    assert listed["new/images/train/a.png"]["mask_counts"] == [256, 256, 512]
    assert listed["images/train/a.png"]["mask_counts"] == [256, 768, 0]
    assert listed["new/images/train/a.png"]["mask_sha256"] == rows["new/images/train/a.png"].mask_sha256
    assert listed["new/images/train/a.png"]["group"] == "new/images/train/a.png"
    again = tmp_path / "again"
    gather(folder, ["first", "new"], again)
    assert listing(again) == listing(out)


def test_a_delivery_that_was_not_read_is_named(tmp_path):
    folder = deliver(tmp_path / "in", "first", pictures(tmp_path / "raw", 1, BOTH), FIRST, "")
    with pytest.raises(GraftError, match="not read yet: new"):
        gather(folder, ["first", "new"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
