"""Views: the same bits however they are stored and whoever makes them; damage and full disks get a clear answer."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from graft.data.augmented.statistics import counts_of, statistics
from graft.data.augmented.view_files import disk_full_explained, need_room
from graft.data.images.codec import decode_mask, encode_png
from graft.data.resize import RESIZES, resize_image, resize_mask
from graft.data.shards import read_rows
from graft.data.views.view import BatchSource, Recipe, Views, open_views, view_of
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from tests.augmented_samples import run_augment, write_train

NUM_VIEWS = 3


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def both(request, tmp_path_factory) -> tuple[str, Path]:
    """The task, and a folder with what the stage wrote for either storage."""
    folder = tmp_path_factory.mktemp(request.param)
    write_train(folder, task=request.param)
    for storage in ("materialised", "online"):
        run_augment(folder, folder / storage, task=request.param, storage=storage)
    return request.param, folder


def test_both_storages_give_the_same_bits_whatever_the_number_of_workers(both):
    task, folder = both
    stored = open_views(folder / "materialised", task)
    online = [open_views(folder / "online", task, num_workers=n) for n in (1, 2)]
    order = np.array([4, 0, 5, 2, 2])
    for view in range(NUM_VIEWS):
        images, targets = stored.read(order, view)
        assert images.shape == (5, 64, 80, 3)
        assert targets.dtype == (np.uint8 if task == "segmentation" else np.int64)
        for views in online:
            assert views.ids == stored.ids
            for one, two in zip((images, targets), views.read(order, view), strict=True):
                assert one.dtype == two.dtype
                assert np.array_equal(one, two)


def test_row_n_times_views_plus_k_is_view_k_of_sample_n(both):
    task, folder = both
    recipe = Recipe(**read_json(folder / "materialised/policy.json")["recipe"])
    images, targets = (np.load(folder / f"materialised/{name}.npy") for name in ("images", "targets"))
    for n, row in reversed(list(enumerate(read_rows(folder / "train")))):
        for k in (2, 0, 1):
            image, target = view_of(recipe, row, k)
            assert np.array_equal(images[n * NUM_VIEWS + k], image)
            stored = targets[n * NUM_VIEWS + k] if task == "segmentation" else targets[n]
            assert np.array_equal(stored, target)


def test_views_differ_from_each_other_and_between_seeds(both):
    _, folder = both
    recipe = Recipe(**read_json(folder / "materialised/policy.json")["recipe"])
    row = next(read_rows(folder / "train"))
    other = Recipe(**{**read_json(folder / "materialised/policy.json")["recipe"], "seed": 8})
    views = [view_of(recipe, row, k)[0] for k in range(NUM_VIEWS)] + [view_of(other, row, 0)[0]]
    for number, view in enumerate(views):
        assert not any(np.array_equal(view, later) for later in views[number + 1 :])


def test_statistics_do_not_depend_on_the_storage_and_are_those_of_the_arrays(both):
    task, folder = both
    stats = read_json(folder / "materialised/statistics.json")
    assert stats == read_json(folder / "online/statistics.json")
    targets = np.load(folder / "materialised/targets.npy")
    counts = np.bincount(targets.ravel(), minlength=256) * (1 if task == "segmentation" else NUM_VIEWS)
    assert stats["class_pixels_after"] == counts[: len(stats["names"])].tolist()
    assert stats["void_after"] == (counts[255] if task == "segmentation" else 0)


def test_class_counts_are_those_of_each_sample_before_augmentation(both):
    task, folder = both
    rows = list(read_rows(folder / "train"))
    targets = [decode_mask(row.mask) if task == "segmentation" else row.label for row in rows]
    num_classes = ClassMap.read(folder / "class_map.json").num_classes
    expected = np.stack([np.bincount(np.ravel(target), minlength=256)[:num_classes] for target in targets])
    for storage in ("materialised", "online"):
        counts = open_views(folder / storage, task).class_counts
        assert counts.dtype == np.int64
        assert np.array_equal(counts, expected)


def test_mean_and_deviation_are_those_of_the_images():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    class_map = ClassMap("classification", ("a", "b"), ((0, 0, 0), (9, 9, 9)), ("a", "b"), False, False, "x")
    stats = statistics(counts_of(image, 1, [1, 1], class_map), class_map, 2, ["a"], ["00"])
    assert np.allclose(stats["mean"], (image / 255).mean(axis=(0, 1)))
    assert np.allclose(stats["std"], (image / 255).std(axis=(0, 1)))
    assert (stats["class_pixels_before"], stats["class_pixels_after"]) == ([0, 1], [0, 2])


def test_more_classes_than_a_mask_can_hold_are_counted():
    names = tuple(map(str, range(1000)))
    class_map = ClassMap("classification", names, ((0, 0, 0),) * 1000, names, False, False, "x")
    counts = counts_of(np.zeros((2, 2, 3), np.uint8), 700, [700], class_map)
    assert counts.before[700] == counts.after[700] == 1


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [("none", {}, (300, 400)), ("short_side", {"size_px": 150}, (150, 200)), ("fit", {"size_px": 200}, (150, 200))],
)
def test_resize_rules_keep_the_aspect_and_the_values(rule, options, expected):
    size = RESIZES[rule](300, 400, **options)
    assert size == expected
    mask = np.random.default_rng(0).choice(np.array([0, 7, 255], np.uint8), (300, 400))
    assert resize_mask(mask, size).shape == size
    assert set(np.unique(resize_mask(mask, size))) == {0, 7, 255}
    assert resize_image(np.full((300, 400, 3), 9, np.uint8), size).tolist() == np.full((*size, 3), 9).tolist()


def test_every_resize_rule_has_a_case():
    assert set(RESIZES) == {"none", "short_side", "fit"}
    assert RESIZES["fit"](10_000, 1, size_px=100) == (100, 1)


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path):
    write_train(tmp_path)
    with pytest.raises(GraftError, match=r"the training views need [\d,.]+ GB, the disk has [\d,.]+ GB left"):
        run_augment(tmp_path, tmp_path / "out", views=10**10)
    assert list((tmp_path / "out").iterdir()) == []
    need_room(tmp_path, 1)
    with pytest.raises(GraftError, match=r"the training rows need .* online keeps a copy .* Remedy: free some space"):
        need_room(tmp_path, 10**18, "online")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_disk_that_fills_up_is_explained(tmp_path):
    with (
        pytest.raises(GraftError, match=r"the disk is full.*Remedy: free some space, or set augment.storage: online"),
        disk_full_explained(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    with pytest.raises(OSError, match="elsewhere"), disk_full_explained(tmp_path):
        raise OSError(errno.EIO, "elsewhere")


@pytest.mark.parametrize(("task", "name"), [("segmentation", "mask"), ("classification", "label")])
def test_a_training_row_without_its_target_is_named(tmp_path, task, name):
    write_train(tmp_path, task=task, mask=None, label=None)
    with pytest.raises(GraftError, match=rf"street/0000.png: an image of split train has no {name}"):
        run_augment(tmp_path, tmp_path / "out", task=task)


@pytest.mark.parametrize("name", ["images.npy", "rows.arrow", "index.json", "class_counts.npy"])
def test_damaged_views_are_named(tmp_path, name):
    write_train(tmp_path, num_samples=2)
    out = tmp_path / "out"
    run_augment(tmp_path, out, storage="online" if name == "rows.arrow" else "materialised")
    (out / name).write_bytes(b"\x93NUMPY, or not")
    with pytest.raises(GraftError, match=rf"{name}: (cannot be read|not valid JSON)"):
        open_views(out, "segmentation", num_workers=1).read(np.array([0]), 0)


def test_class_counts_that_are_missing_or_of_other_samples_are_refused(tmp_path):
    write_train(tmp_path, num_samples=2)
    out = tmp_path / "out"
    run_augment(tmp_path, out)
    np.save(out / "class_counts.npy", np.zeros((3, 5), np.int64))
    with pytest.raises(GraftError, match=r"class_counts.npy: cannot be read \(it holds int64 \[3, 5\], not int64 \[2,"):
        open_views(out, "segmentation")
    (out / "class_counts.npy").unlink()
    with pytest.raises(GraftError, match=r"class_counts.npy: cannot be read .*run dvc repro augment"):
        open_views(out, "segmentation")


def test_views_of_the_other_task_are_refused(both):
    task, folder = both
    other = {"segmentation": "classification", "classification": "segmentation"}[task]
    with pytest.raises(GraftError, match=f"the views are for {task}, the task is {other}"):
        open_views(folder / "online", other)


def test_the_resize_rule_comes_before_the_policy(tmp_path):
    mask = np.zeros((400, 600), np.uint8)
    write_train(tmp_path, num_samples=1, image=encode_png(np.zeros((400, 600, 3), np.uint8)), mask=encode_png(mask))
    policy = {"name": "light", "strength": 0.0}
    run_augment(tmp_path, tmp_path / "out", resize={"name": "fit", "size_px": 60}, policy=policy)
    targets = np.load(tmp_path / "out/targets.npy")
    assert (targets[0] == 0).sum() == 40 * 60, "the whole image fits in the crop once it is resized"


@pytest.mark.parametrize("kind", [BatchSource, Views])
def test_views_that_cannot_be_read_cannot_be_made(kind):
    with pytest.raises(TypeError, match="abstract method"):
        type("Unreadable", (kind,), {})()
