"""Growing views: which sizes, when, and what reaches the model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.data.resize import resize_image, resize_mask
from graft.data.views.resized import ResizedViews
from graft.data.views.view import open_views
from graft.foundation.errors import GraftError
from graft.training.plan import Plan
from graft.training.view_sizes import view_sizes
from tests import tiny_training


def model(multiple: int = 32, least: int = 32, fixed: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(padding_multiple=multiple, min_side_px=least, fixed_size_px=fixed)


@pytest.mark.parametrize(
    ("whole", "factors", "multiple", "sizes"),
    [
        ((192, 256), [1.0], 32, []),
        ((192, 256), [0.5, 0.75, 1.0], 32, [(96, 128), (160, 192), (192, 256)]),  # 144 would be padded to 160 anyway
        ((192, 256), [0.5, 0.75, 1.0], 1, [(96, 128), (144, 192), (192, 256)]),
        ((100, 100), [0.9, 1.0], 32, [(96, 96), (100, 100)]),
        ((100, 100), [0.97, 1.0], 32, [(100, 100), (100, 100)]),  # never larger than the crop
    ],
)
def test_sizes_are_shares_of_the_crop_up_to_what_the_model_pads_to(whole, factors, multiple, sizes):
    assert view_sizes(whole, factors, model(multiple)) == sizes


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ({"fixed": 192}, r"views are 96×96 px \(fine_tune.sizes: 0.5 of the crop\). Rule: .*192×192 px.*sizes: \[1\]"),
        ({"least": 128}, "Rule: the smallest height and width of the model are 128 px. Remedy: raise the first"),
    ],
)
def test_views_that_the_model_cannot_take_are_refused(fact, message):
    assert view_sizes((192, 192), [1.0], model(**fact)) == []
    with pytest.raises(GraftError, match=message):
        view_sizes((192, 192), [0.5, 1.0], model(**fact))


@pytest.mark.parametrize(
    ("num_sizes", "epochs", "at"),
    [(0, 2, [None, None]), (2, 4, [0, 0, 1, 1]), (3, 3, [0, 1, 2]), (3, 7, [0, 0, 0, 1, 1, 2, 2])],
)
def test_each_size_has_an_equal_part_of_the_epochs(num_sizes, epochs, at):
    sizes = [(number, number) for number in range(num_sizes)]
    plan = Plan(7, epochs, 1, 0.1, lambda _: 1.0, 0, None, None, lambda _: np.arange(2), sizes=sizes)
    assert [plan.size(epoch) for epoch in range(epochs)] == [None if n is None else (n, n) for n in at]


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_resized_views_are_the_views_resized(tmp_path, task):
    folder = tiny_training.prepare(tmp_path / task, task, num_samples=3)
    views = open_views(folder / "augmented", task)
    small, order = ResizedViews(views, (32, 64)), np.array([2, 0])
    images, targets = next(small.batches(order, 1, 2, torch.device("cpu")))
    whole, masks = views.read(order, 1)
    assert (views.size, tuple(images.shape)) == ((64, 80), (2, 3, 32, 64))
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), [resize_image(image, (32, 64)) for image in whole])
    expected = masks if task == "classification" else [resize_mask(mask, (32, 64)) for mask in masks]
    assert np.array_equal(targets.numpy(), expected)


def test_a_training_grows_and_its_epochs_say_so(tmp_path):
    folder, heard = tiny_training.prepare(tmp_path / "streets"), []
    settings = {"epochs": 3, "sizes": [0.5, 1.0, 1.0], "listen": lambda _, report: heard.append(report.cost)}
    tiny_training.run(folder, tmp_path / "out", **settings)
    assert [(cost.view_height_px, cost.view_width_px) for cost in heard] == [(32, 40), (64, 80), (64, 80)]
    settings["strategy"] = {"name": "supervised", "train": "head", "reuse_features": True}
    with pytest.raises(GraftError, match=r"fine_tune.sizes is \[0.5, 1.0, 1.0\], and this strategy reuses features"):
        tiny_training.run(folder, tmp_path / "reused", **settings)
