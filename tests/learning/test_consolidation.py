"""Elastic weight consolidation: the Fisher information against its closed form, and the penalty by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import STRATEGIES
from graft.training.strategies.fisher import diagonal_fisher
from tests.tiny_strategy import CROSS_ENTROPY


def logistic(weights):
    model = nn.Linear(2, len(weights), bias=True)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weights))
        model.bias.zero_()
    return model


def test_the_fisher_information_of_a_logistic_model():
    """F of w_kj is p_k (1 - p_k) x_j^2 on average over the inputs, of the bias p_k (1 - p_k)."""
    model = logistic([[0.4, -0.3], [-0.2, 0.1], [0.0, 0.5]])
    inputs = torch.tensor([[1.0, 2.0], [-0.5, 0.3]])
    weight, bias = diagonal_fisher(
        model, list(model.parameters()), (inputs[n % 2, None] for n in range(1500)), [0, 1, 2], 3
    )
    p = torch.softmax(model(inputs), 1).detach()
    spread = p * (1 - p)
    torch.testing.assert_close(weight, torch.einsum("nk,nj->kj", spread, inputs.square()) / 2, rtol=0.15, atol=0.0)
    torch.testing.assert_close(bias, spread.mean(0), rtol=0.15, atol=0.0)


def test_it_is_a_function_of_the_seed_and_a_class_that_is_not_known_does_not_matter():
    model = logistic([[0.4, -0.3], [-0.2, 0.1], [0.0, 0.5]])
    images = [torch.tensor([[1.0, 2.0]])] * 51
    first, again, other = (diagonal_fisher(model, list(model.parameters()), images, [0, 1], seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not first[0][2].any()


def test_pixels_count_each_on_its_own():
    """A mask of equal pixels says as much for a label as one of them: squares of sums are taken apart again."""
    model = nn.Conv2d(1, 2, 1)
    images = (torch.ones(1, 1, 4, 4) for _ in range(500))
    weight, bias = diagonal_fisher(model, list(model.parameters()), images, [0, 1], 5)
    p = torch.softmax(model(torch.ones(1, 1, 1, 1)), 1).detach().flatten()
    torch.testing.assert_close(weight.flatten(), p * (1 - p), rtol=0.2, atol=0.0)
    torch.testing.assert_close(bias, p * (1 - p), rtol=0.2, atol=0.0)


def test_the_penalty_by_hand():
    strategy = STRATEGIES["ewc"](WeightedSum(resolve_losses(CROSS_ENTROPY)), weight=3.0)
    moved, resting = nn.Parameter(torch.tensor([2.0, -1.0])), nn.Parameter(torch.ones(1), requires_grad=False)
    strategy.held = [
        (moved, torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.25])),
        (resting, torch.zeros(1), torch.ones(1)),
    ]
    losses = strategy.step(lambda _: torch.zeros(1, 2), torch.zeros(1), torch.tensor([0]))
    by_hand = 3.0 / 2 * (0.5 * 1.0 + 0.25 * 4.0)
    assert float(losses["consolidation"]) == pytest.approx(by_hand)
    assert float(losses["loss"].detach()) == pytest.approx(by_hand + np.log(2))
