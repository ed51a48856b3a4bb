"""Memories choose which training images get views: by delivery and class, the same ones each time."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from graft.data.images.codec import encode_png
from graft.data.memory import MEMORIES, list_by_delivery
from graft.data.shards import ShardWriter, read_columns
from graft.foundation.errors import GraftError

SEED = 7


def write_rows(folder: Path, rows: dict[str, list[tuple[int, ...]]], *, labels: bool = False) -> Path:
    """A train split: by delivery the classes in the mask of each image, or its label; 255 is nothing."""
    for delivery, images in rows.items():
        writer = ShardWriter(folder, delivery)
        for number, classes in enumerate(images):
            image = f"{delivery} {number}".encode()
            mask = None if labels else encode_png(np.array([classes], np.uint8))
            row = {"id": f"{delivery}/{number}", "split": "train", "batch": delivery, "domain": "day", "group": "g"}
            row |= {"image": image, "image_sha256": hashlib.sha256(image).hexdigest(), "mask": mask}
            writer.add(row | {"mask_sha256": "m" if mask else None, "label": classes[0] if labels else None})
        writer.close()
    return folder / "train"


def ids(train: Path, numbers: frozenset[int]) -> list[str]:
    return [id for number, (id,) in enumerate(read_columns(train, ("id",))) if number in numbers]


@pytest.mark.parametrize("labels", [False, True])
def test_deliveries_take_turns_and_each_gives_the_class_that_was_met_least(tmp_path, labels):
    rows = {"first": [(0,), (0,), (0,), (1,)], "second": [(2,)], "third": [(0,), (0,)]}
    train = write_rows(tmp_path, rows, labels=labels)
    chosen = MEMORIES["balanced"](train, SEED, new=["third"], num_images=3)
    assert {"third/0", "third/1", "second/0", "first/3"} < set(ids(train, chosen))
    assert len(chosen) == 5
    (other,) = set(ids(train, chosen)) - {"third/0", "third/1", "second/0", "first/3"}
    assert other in {"first/0", "first/1", "first/2"}
    table = list_by_delivery(train, chosen)
    assert {name: len(images) for name, images in table.items()} == {"first": 2, "second": 1, "third": 2}
    assert table["second"] == {"second/0": hashlib.sha256(b"second 0").hexdigest()}


def test_a_larger_memory_holds_a_smaller_one_and_another_seed_holds_others(tmp_path):
    train = write_rows(tmp_path, {"first": [(number % 3, 255) for number in range(30)], "new": [(0,)]})
    chosen = [MEMORIES["balanced"](train, SEED, new=["new"], num_images=number) for number in (0, 3, 12, 30)]
    assert [len(each) for each in chosen] == [1, 4, 13, 31]
    assert all(one < other for one, other in itertools.pairwise(chosen))
    classes = [int(id.split("/")[1]) % 3 for id in ids(train, chosen[2] - chosen[0])]
    assert sorted(classes) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert MEMORIES["balanced"](train, SEED + 1, new=["new"], num_images=12) != chosen[2]


def test_an_image_without_a_labelled_pixel_comes_last(tmp_path):
    train = write_rows(tmp_path, {"first": [(255,), (0,), (0,)], "new": [(0,)]})
    assert "first/0" not in ids(train, MEMORIES["balanced"](train, SEED, new=["new"], num_images=2))


def test_all_images_get_views_where_nothing_is_chosen(tmp_path):
    assert MEMORIES["all"](write_rows(tmp_path, {"first": [(0,)]}), SEED) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"new": ["third"], "num_images": 1}, "no training image is of the delivery third"),
        ({"new": ["second"], "num_images": 3}, "a memory of 3 images, and the earlier deliveries have 2"),
    ],
)
def test_what_cannot_be_remembered_is_named(tmp_path, options, message):
    train = write_rows(tmp_path, {"first": [(0,), (1,)], "second": [(0,)]})
    with pytest.raises(GraftError, match=message):
        MEMORIES["balanced"](train, SEED, **options)
