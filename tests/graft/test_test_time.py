"""Test-time augmentation: means of probabilities, worked out a second way with torch."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from graft.data.resize import resize_image
from graft.evaluation.test_time import PLAIN, average_views
from graft.inference.image_to_logits import predict_class_ids, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.models.saved_model import ModelSpec
from graft.params import sections

PREDICT = sections.Predict(max_pixels=65536, overlap_px=16)


def spec_of(task: str = "segmentation", **changed: object) -> ModelSpec:
    made_of = {"model": {"name": "none"}, "num_classes": 4, "class_names": tuple("abcd"), "resize": {"name": "none"}}
    made_of |= {"mean": (0.5,) * 3, "std": (0.25,) * 3, "padding_multiple": 8, "synthetic": True, "min_side_px": 8}
    return ModelSpec(task=task, **(made_of | changed))


def network(task: str = "segmentation") -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 5, padding=2)]
    return nn.Sequential(*layers, *([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if task == "classification" else []))


def image_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return resize_image(small, (height, width))


def probabilities_of(model: nn.Module, image: np.ndarray) -> torch.Tensor:
    pixels = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    with torch.inference_mode():
        return model(pixels).softmax(1)


def test_one_plain_view_is_the_runner_itself() -> None:
    runner = torch_runner(network(), spec_of())
    assert average_views(runner, spec_of(), sections.TestTime(**PLAIN), PREDICT) is runner


@pytest.mark.parametrize("task", ["segmentation", "classification"])
@pytest.mark.parametrize(("scales", "flip"), [([1.0], True), ([0.5, 1.0, 1.75], False), ([1.0, 1.25], True)])
def test_probabilities_are_the_mean_over_scales_and_flips(task: str, scales: list[float], flip: bool) -> None:
    model, image = network(task), image_of(32, 64)
    expected = []
    for scale in scales:
        scaled = resize_image(image, (round(32 * scale), round(64 * scale)))
        views = [probabilities_of(model, scaled)]
        if flip:
            mirrored = probabilities_of(model, scaled[:, ::-1])
            views.append(mirrored.flip(3) if task == "segmentation" else mirrored)
        resized = [F.interpolate(view, (32, 64), mode="bilinear") for view in views] if views[0].ndim == 4 else views
        expected += resized
    runner = average_views(
        torch_runner(model, spec_of(task)), spec_of(task), sections.TestTime(scales=scales, flip=flip), PREDICT
    )
    found = np.exp(runner(np.stack([image, image])))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], torch.stack(expected).mean(0)[0].numpy(), atol=2e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_a_mirrored_image_gets_the_mirrored_answer() -> None:
    spec, image = spec_of(), image_of(24, 48)
    runner = average_views(
        torch_runner(network(), spec), spec, sections.TestTime(scales=[0.75, 1.0], flip=True), PREDICT
    )
    plain, mirrored = (predict_logits(runner, one, spec, Tiling(65536, 16)) for one in (image, image[:, ::-1]))
    np.testing.assert_allclose(mirrored[:, :, ::-1], plain, atol=1e-4)


def test_a_scaled_image_is_tiled_so_that_no_input_is_too_large() -> None:
    spec, sizes = spec_of(), []

    def watched(run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        def runner(images: np.ndarray) -> np.ndarray:
            sizes.append(images.shape[0] * images.shape[1] * images.shape[2])
            return run(images)

        return runner

    image = image_of(250, 420, seed=1)
    runner = average_views(
        watched(torch_runner(network(), spec)), spec, sections.TestTime(scales=[1.0, 2.0], flip=False), PREDICT
    )
    ids = predict_class_ids(runner, image, spec, PREDICT)
    assert max(sizes) <= PREDICT.max_pixels
    assert len(sizes) > 6
    assert ids.shape == (250, 420)
    once = predict_class_ids(torch_runner(network(), spec), image, spec, PREDICT)
    assert (ids == once).mean() > 0.9  # a convolution of five pixels sees nearly the same at twice the size


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("scales", [], "at least 1 item"),
        ("scales", [0.1], "greater than or equal to 0.25"),
        ("flip", 1, "valid boolean"),
    ],
)
def test_what_cannot_be_used_is_refused(key: str, value: object, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        sections.TestTime(**(PLAIN | {key: value}))
