"""Batches: the order asked for, the memory a convolution wants, and never a wait."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from graft.data.views.batches import batches
from graft.data.views.view import open_views
from graft.foundation.errors import GraftError
from tests.augmented_samples import run_augment, write_train

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def stored(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    write_train(folder, task=request.param)
    run_augment(folder, folder / "out", task=request.param)
    return request.param, folder / "out"


@pytest.mark.parametrize("device", DEVICES)
def test_batches_come_in_order_with_the_last_one_smaller(stored, device):
    views = open_views(stored[1], stored[0])
    order = np.array([5, 1, 3, 0, 2])
    got = list(batches(views, order, 1, 2, device=torch.device(device)))
    assert [len(images) for images, _ in got] == [2, 2, 1]
    images, targets = (torch.cat(parts).cpu().numpy() for parts in zip(*got, strict=True))
    expected = views.read(order, 1)
    assert np.array_equal(images.transpose(0, 2, 3, 1), expected[0])
    assert np.array_equal(targets, expected[1])
    first, first_targets = got[0]
    assert first.device.type == device
    assert (first.dtype, first_targets.dtype) == (torch.uint8, torch.int64)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_no_samples_are_no_batches(stored):
    assert list(batches(open_views(stored[1], stored[0]), np.array([], int), 0, 4, device=CPU)) == []


def test_a_loop_that_ends_early_leaves_no_thread(stored):
    for _ in batches(open_views(stored[1], stored[0]), np.arange(6), 0, 1, device=CPU):
        break
    readers = [thread for thread in threading.enumerate() if thread.name.startswith("graft-batches")]
    for thread in readers:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in readers)


def test_what_goes_wrong_while_reading_reaches_the_loop(tmp_path):
    write_train(tmp_path, num_samples=2)
    run_augment(tmp_path, tmp_path / "out", storage="online")
    (tmp_path / "out/rows.arrow").write_bytes(b"damaged")
    views = open_views(tmp_path / "out", "segmentation", num_workers=1)
    with pytest.raises(GraftError, match=r"rows.arrow: cannot be read"):
        list(batches(views, np.arange(2), 0, 1, device=CPU))


def test_online_views_come_through_worker_processes(tmp_path):
    write_train(tmp_path, num_samples=5)
    for storage in ("online", "materialised"):
        run_augment(tmp_path, tmp_path / storage, storage=storage)
    views = [open_views(tmp_path / name, "segmentation", num_workers=2) for name in ("online", "materialised")]
    pairs = zip(*(batches(each, np.arange(5)[::-1], 2, 2, device=CPU) for each in views), strict=True)
    for online, stored in pairs:
        assert torch.equal(online[0], stored[0])
        assert torch.equal(online[1], stored[1])
