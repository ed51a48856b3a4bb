"""Memories choose which training images get views: by delivery and class, the same ones each time."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from graft.data.images.codec import encode_png
from graft.data.memory import MEMORIES, Impression, list_by_delivery, parent_problem
from graft.data.shards import ShardWriter, read_columns
from graft.foundation.choices import resolve
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
    chosen = MEMORIES["balanced"](train, SEED, None, new=["third"], num_images=3)
    assert {"third/0", "third/1", "second/0", "first/3"} < set(ids(train, chosen))
    assert len(chosen) == 5
    (other,) = set(ids(train, chosen)) - {"third/0", "third/1", "second/0", "first/3"}
    assert other in {"first/0", "first/1", "first/2"}
    table = list_by_delivery(train, chosen)
    assert {name: len(images) for name, images in table.items()} == {"first": 2, "second": 1, "third": 2}
    assert table["second"] == {"second/0": hashlib.sha256(b"second 0").hexdigest()}


def test_a_larger_memory_holds_a_smaller_one_and_another_seed_holds_others(tmp_path):
    train = write_rows(tmp_path, {"first": [(number % 3, 255) for number in range(30)], "new": [(0,)]})
    chosen = [MEMORIES["balanced"](train, SEED, None, new=["new"], num_images=number) for number in (0, 3, 12, 30)]
    assert [len(each) for each in chosen] == [1, 4, 13, 31]
    assert all(one < other for one, other in itertools.pairwise(chosen))
    classes = [int(id.split("/")[1]) % 3 for id in ids(train, chosen[2] - chosen[0])]
    assert sorted(classes) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert MEMORIES["balanced"](train, SEED + 1, None, new=["new"], num_images=12) != chosen[2]


def test_an_image_without_a_labelled_pixel_comes_last(tmp_path):
    train = write_rows(tmp_path, {"first": [(255,), (0,), (0,)], "new": [(0,)]})
    assert "first/0" not in ids(train, MEMORIES["balanced"](train, SEED, None, new=["new"], num_images=2))


def test_all_images_get_views_where_nothing_is_chosen(tmp_path):
    assert MEMORIES["all"](write_rows(tmp_path, {"first": [(0,)]}), SEED, None) is None


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
        MEMORIES["balanced"](train, SEED, None, **options)


def looking(train: Path, seen: dict[str, tuple[tuple[float, ...], float]]):
    """A look that knows features and loss of each image by its id."""

    def look(numbers):
        columns = enumerate(read_columns(train, ("id",)))
        told = {number: Impression(np.float32(seen[id][0]), seen[id][1]) for number, (id,) in columns if id in seen}
        assert set(numbers) == set(told), "earlier images are looked at, and no others"
        return told

    return look


def remembered(train: Path, look, choice: str, num_images: int, seed: int = SEED) -> list[str]:
    memory = MEMORIES["balanced"](train, seed, look, new=["new"], num_images=num_images, choice=choice)
    return [id for id in ids(train, memory) if not id.startswith("new")]


def test_herding_brings_the_mean_of_the_memory_closest_to_that_of_all(tmp_path):
    # Angles of unit vectors: 0, 10, 40 and 90 degrees; the lengths of the features do not count. Their mean is
    # (1 + .984808 + .766044 + 0, 0 + .173648 + .642788 + 1) / 4, at atan(1.816436 / 2.750852) = 33.44 degrees.
    # The first is at 40. With 0 the mean is at 20, with 10 at 25, with 90 at 65: 10. Then of three unit vectors with 0:
    # (2.750852, .816436) at 16.53; with 90: (1.750852, 1.816436) at 46.05, nearer: 90. The last is 0.
    angles = [0, 10, 40, 90]
    train = write_rows(tmp_path, {"first": [(0,)] * 4, "new": [(0,)]})
    seen = {
        f"first/{number}": ((length * np.cos(np.deg2rad(angle)), length * np.sin(np.deg2rad(angle))), 0.0)
        for number, (angle, length) in enumerate(zip(angles, (1.0, 2.0, 0.5, 9.0), strict=True))
    }
    look = looking(train, seen)
    assert remembered(train, look, "herding", 1) == ["first/2"]
    assert remembered(train, look, "herding", 2) == ["first/1", "first/2"]
    assert remembered(train, look, "herding", 3) == ["first/1", "first/2", "first/3"]
    assert remembered(train, look, "herding", 3, SEED + 1) == ["first/1", "first/2", "first/3"]


def test_herding_serves_each_class_of_each_delivery_by_its_own_mean(tmp_path):
    rows = {"first": [(0,), (0,), (0,), (1,), (1,), (1,)], "new": [(0,)], "second": [(2,), (2,), (2,)]}
    train = write_rows(tmp_path, rows, labels=True)
    middle_is_first = [(1.0, 0.1), (1.0, 0.9), (1.0, -0.8)]
    middle_is_last = [(0.9, 1.0), (-0.9, 1.0), (0.0, 1.0)]
    features = [*middle_is_first, *middle_is_last, *middle_is_last]
    names = [*(f"first/{number}" for number in range(6)), *(f"second/{number}" for number in range(3))]
    look = looking(train, dict(zip(names, ((each, 0.0) for each in features), strict=True)))
    # first gives a class, second its only one, first the other class, second again
    assert remembered(train, look, "herding", 3) == ["first/0", "first/5", "second/2"]


def test_equal_images_are_taken_in_the_order_of_the_seed(tmp_path):
    train = write_rows(tmp_path, {"first": [(0,)] * 5, "new": [(0,)]})
    look = looking(train, {f"first/{number}": ((0.3, 0.7, 0.1), 1.5) for number in range(5)})
    for choice in ("herding", "loss"):
        assert remembered(train, look, choice, 2) == remembered(train, None, "random", 2)


def test_the_highest_loss_is_kept_and_the_balance_comes_first(tmp_path):
    train = write_rows(tmp_path, {"first": [(0,), (0,), (0,), (1,), (1,), (255,)], "new": [(0,)]})
    losses = [0.2, 3.0, 0.7, 0.1, 0.3, 9.0]
    look = looking(train, {f"first/{number}": ((1.0,), loss) for number, loss in enumerate(losses)})
    assert remembered(train, look, "loss", 2) == ["first/1", "first/4"]
    assert remembered(train, look, "loss", 4) == ["first/1", "first/2", "first/3", "first/4"]


def test_a_memory_of_nothing_looks_at_nothing(tmp_path):
    train = write_rows(tmp_path, {"first": [(0,)], "new": [(0,)]})
    assert remembered(train, pytest.fail, "herding", 0) == []


@pytest.mark.parametrize(
    ("memory", "parent", "message"),
    [
        ({"choice": "herding"}, "none", "augment.parent is none, with choice: herding.*set augment.parent: pretrained"),
        ({"choice": "loss"}, "none", "augment.parent is none, with choice: loss"),
        ({"choice": "random"}, "pretrained", "augment.parent is pretrained, with choice: random.*parent: none"),
        (None, "pretrained", "augment.parent is pretrained, with memory: all"),
    ],
)
def test_a_choice_and_its_model_come_together(memory, parent, message):
    spec = "all" if memory is None else {"name": "balanced", "new": ["b"], "num_images": 1} | memory
    with pytest.raises(GraftError, match=message):
        raise parent_problem(resolve(MEMORIES, spec, where="augment.memory"), parent)


def test_what_needs_no_model_has_none():
    spec = {"name": "balanced", "new": ["b"], "num_images": 1}
    assert parent_problem(resolve(MEMORIES, spec, where="m"), "none") is None
    assert parent_problem(resolve(MEMORIES, spec | {"choice": "loss"}, where="m"), "pretrained") is None


def test_named_images_get_no_views(tmp_path):
    train = write_rows(tmp_path, {"first": [(0,), (1,)], "second": [(0,)]})
    chosen = MEMORIES["without"](train, SEED, None, images=["first/1"])
    assert ids(train, chosen) == ["first/0", "second/0"]
    with pytest.raises(GraftError, match=r"no training images \(1\):\n  - first/11: did you mean 'first/1'"):
        MEMORIES["without"](train, SEED, None, images=["first/0", "first/11"])
    with pytest.raises(GraftError, match="all training images are left out"):
        MEMORIES["without"](train, SEED, None, images=["first/0", "first/1", "second/0"])


def test_named_images_are_neither_learnt_nor_remembered(tmp_path):
    train = write_rows(tmp_path, {"first": [(0,), (1,), (0,)], "second": [(0,), (1,)]})
    options = {"new": ["second"], "without": ["first/1", "second/0"]}
    chosen = MEMORIES["balanced"](train, SEED, None, num_images=2, **options)
    assert ids(train, chosen) == ["first/0", "first/2", "second/1"]
    with pytest.raises(GraftError, match="a memory of 3 images, and the earlier deliveries have 2 training images"):
        MEMORIES["balanced"](train, SEED, None, num_images=3, **options)
    with pytest.raises(GraftError, match=r"first/11: did you mean 'first/1'"):
        MEMORIES["balanced"](train, SEED, None, new=["second"], num_images=2, without=["first/11"])
