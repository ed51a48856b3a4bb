"""Pooled features come from the forward pass of the prediction, by the same path, whatever the size of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from graft.inference.embedding import FeaturePredictor, FeatureTap, pooled
from graft.inference.image_to_logits import predict_batch, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import Model, build_fresh
from graft.models.saved_model import ModelSpec

SMALLEST = {"segmentation": {"name": "plain_fcn"}, "classification": {"name": "plain_cnn"}}
TILING = Tiling(64 * 64, 16)


def untrained(task: str) -> tuple[Model, ModelSpec]:
    model = build_fresh(task, SMALLEST[task], 3, 0).eval()
    names, statistics = ("a", "b", "c"), ((0.5,) * 3, (0.25,) * 3)
    multiple = model.padding_multiple
    return model, ModelSpec(task, SMALLEST[task], 3, names, *statistics, {"name": "none"}, multiple, True)


def images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


@pytest.mark.parametrize("task", SMALLEST)
def test_one_pass_gives_prediction_and_features(task: str) -> None:
    model, spec = untrained(task)
    (image,) = images((48, 64))
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    prediction = FeaturePredictor(model, spec, TILING).predict(image)
    assert len(passes) == 1
    pixels = torch.from_numpy(image)[None].permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        features = pooled(model.backbone((pixels / 255 - 0.5) / 0.25))[0]
    np.testing.assert_allclose(prediction.features, features, rtol=1e-4, atol=1e-5)
    logits = predict_logits(torch_runner(model, spec), image, spec, TILING)
    np.testing.assert_array_equal(prediction.class_ids, logits.argmax(axis=0))
    assert ((prediction.confidence >= 1 / 3 - 1e-6) & (prediction.confidence <= 1)).all()
    assert prediction.confidence.shape == prediction.class_ids.shape


def test_features_of_a_batch_belong_to_their_images_and_tiles_are_averaged() -> None:
    model, spec = untrained("segmentation")
    several = images((48, 64), (100, 120), (32, 32), (48, 64))
    tap, found = FeatureTap(model), np.zeros((4, 128), np.float32)

    def keep(indices: Any) -> None:
        found[indices] = tap.take()

    predict_batch(torch_runner(model, spec), several, spec, TILING, after_pass=keep)
    predictor = FeaturePredictor(model, spec, TILING)
    for image, features in zip(several, found, strict=True):
        np.testing.assert_allclose(features, predictor.predict(image).features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (torch.ones(2, 5, 3, 4), torch.ones(2, 5)),
        ({"low": torch.zeros(2, 3, 8, 8), "high": torch.ones(2, 5, 3, 4)}, torch.ones(2, 5)),
        ({"out": torch.ones(2, 5, 3, 4), "aux": torch.zeros(2, 7, 3, 4)}, torch.ones(2, 5)),
        ((torch.zeros(2, 3, 8, 8), [torch.ones(2, 1, 5)]), torch.ones(2, 5)),
        (torch.ones(2, 5), torch.ones(2, 5)),
    ],
)
def test_the_deepest_features_are_pooled(features: Any, expected: torch.Tensor) -> None:
    assert torch.equal(pooled(features), expected)
