"""PLOP: pooled features, certain labels and their medians, by hand and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graft.inference.torch_runner import normalisation
from graft.models.architectures import build_fresh
from graft.training.forward import Forward
from graft.training.strategies.certain_labels import LEAST, median_entropies, normalised_entropy, relabel
from graft.training.strategies.local_pooling import ForwardWithFeatures, local_distance, pool_all, pool_locally


def test_pooling_of_a_small_image_by_hand():
    """Scale 1: rows, then columns of [[1, 4], [9, 16]]; scale 2: each pixel is a part, and a row and a column of it."""
    pooled = pool_locally(torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]]), scales=(1, 2, 4))
    assert pooled.tolist() == [[2.5, 12.5, 5.0, 10.0, 1.0, 4.0, 9.0, 16.0, 1.0, 4.0, 9.0, 16.0]]


def test_pooling_agrees_with_slices():
    features = torch.randn(2, 3, 9, 14, generator=torch.Generator().manual_seed(1))
    squared, strips = features.numpy() ** 2, []
    for scale in (1, 2, 4):
        tall, wide = 9 // scale, 14 // scale
        for i in range(scale):
            for j in range(scale):
                part = squared[..., i * tall : (i + 1) * tall, j * wide : (j + 1) * wide]
                strips += [part.mean(3).reshape(2, -1), part.mean(2).reshape(2, -1)]
    np.testing.assert_allclose(np.sort(pool_locally(features).numpy()), np.sort(np.concatenate(strips, 1)), rtol=1e-5)


def test_neither_the_image_nor_an_empty_map_is_a_feature():
    """The encoders of segmentation-models-pytorch hand on the image first; logits stay what they were."""
    model = build_fresh("segmentation", {"name": "unet", "encoder": "resnet18"}, 3, 1).eval()
    forward = Forward(model, normalisation((0.5,) * 3, (0.2,) * 3), "float32", True)
    images = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.no_grad():
        logits, pooled = ForwardWithFeatures(forward, pool_all)(images)
        assert torch.equal(logits, forward(images))
        maps = model.backbone(forward.pixels(images))[1:]
    assert [tuple(each.shape) for each in pooled] == [tuple(pool_locally(each).shape) for each in maps]


def test_the_distance_of_equal_features_is_zero_and_so_is_its_gradient():
    pooled = torch.tensor([[3.0, 0.0], [1.0, 1.0]], requires_grad=True)
    assert float(local_distance(pooled.detach(), torch.tensor([[0.0, 4.0], [1.0, 1.0]]))) == pytest.approx(2.5)
    (gradient,) = torch.autograd.grad(local_distance(pooled, pooled.detach()), pooled)
    assert not gradient.any()


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, np.log(3.0)]], dtype=torch.float32)[..., None, None]
    by_hand = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    assert float(normalised_entropy(logits)) == pytest.approx(by_hand, rel=1e-5)
    assert float(normalised_entropy(torch.zeros(1, 5, 1, 1))) == pytest.approx(1.0)
    assert float(normalised_entropy(torch.zeros(1, 1, 1, 1))) == 0.0


def test_background_gets_the_labels_that_the_parent_is_certain_of():
    """Classes 2, 0 and 3 are the parent's; where it wavers nothing is learnt, and what is labelled stays."""
    sure, unsure = [9.0, 0.0, 0.0], [0.1, 0.0, 0.0]
    logits = torch.tensor([[sure, unsure], [[0.0, 0.0, 9.0], sure]]).permute(2, 0, 1)[None]
    targets = torch.tensor([[[0, 0], [0, 1]]])
    labels, share = relabel(targets, logits, torch.full((3,), 0.5), torch.tensor([2, 0, 3]), 0, 255)
    assert labels.tolist() == [[[2, 255], [3, 1]]]
    assert float(share) == pytest.approx(2 / 3)
    _, all_labelled = relabel(torch.ones_like(targets), logits, torch.full((3,), 0.5), torch.tensor([2, 0, 3]), 0, 255)
    assert float(all_labelled) == 1.0


def test_medians_agree_with_numpy():
    generator = torch.Generator().manual_seed(2)
    logits = [2 * torch.randn(2, 3, 20, 30, generator=generator) for _ in range(3)]
    targets = [torch.randint(0, 2, (2, 20, 30), generator=generator) for _ in range(3)]
    logits = [each - torch.tensor([0.0, 0.0, 20.0]).view(1, 3, 1, 1) for each in logits]
    found = median_entropies(zip(logits, targets, strict=True), lambda x: x, 0)
    entropies = torch.cat([normalised_entropy(each)[t == 0] for each, t in zip(logits, targets, strict=True)])
    classes = torch.cat([each.argmax(1)[t == 0] for each, t in zip(logits, targets, strict=True)])
    for number in (0, 1):
        median = np.median(entropies[classes == number].numpy())
        assert float(found[number]) == pytest.approx(median, abs=0.01)
    assert float(found[2]) == pytest.approx(LEAST)
