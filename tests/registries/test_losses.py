"""Every loss keeps the promises of a loss; each against an independent calculation."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from graft.choices import resolve
from graft.errors import GraftError
from graft.losses import LOSSES, WeightedSum, resolve_losses

K = 4


def numpy_cross_entropy(logits, targets, weights, label_smoothing=0.0):
    flat, truth = np.moveaxis(logits, 1, -1).reshape(-1, K), targets.reshape(-1)
    flat, truth = flat[truth != 255], truth[truth != 255]
    probabilities = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
    sample_weight = np.ones(len(truth)) if weights is None else weights[truth]
    hard = log_loss(truth, probabilities, labels=range(K), sample_weight=sample_weight)
    spread = -(np.log(probabilities) * (1 if weights is None else weights)).sum(1).sum() / sample_weight.sum()
    return (1 - label_smoothing) * hard + label_smoothing / K * spread


def numpy_dice(logits, targets, weights, smooth=1.0):
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    total = norm = 0.0
    for k in range(K):
        p, g = probabilities[:, k][targets != 255], (targets == k)[targets != 255]
        if g.any():
            weight = 1.0 if weights is None else weights[k]
            total += weight * (1 - (2 * p[g].sum() + smooth) / (p.sum() + g.sum() + smooth))
            norm += weight
    return total / norm


ROWS = {
    "cross_entropy": (numpy_cross_entropy, [{}, {"label_smoothing": 0.2}]),
    "dice": (numpy_dice, [{}, {"smooth": 0.0}, {"smooth": 10.0}]),
}
WEIGHTS = [None, [0.5, 1.0, 2.0, 0.0]]
CASES = [
    (name, options, weights)
    for name, (_, all_options) in ROWS.items()
    for options in all_options
    for weights in WEIGHTS
]


def batch(shape: tuple[int, ...], num_present: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(shape[0], K, *shape[1:], generator=generator, dtype=torch.float64)
    targets = torch.randint(num_present, shape, generator=generator)
    targets[-1, ..., -1] = 255
    return logits, targets


def test_every_loss_has_a_row():
    assert list(ROWS) == list(LOSSES)


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
@pytest.mark.parametrize("shape", [(2, 5, 6), (7, 1)])
def test_agrees_with_an_independent_calculation(name, options, weights, shape):
    logits, targets = batch(shape, num_present=3)
    if shape[1] == 1:
        logits, targets = logits[..., 0], targets[..., 0]
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    found = LOSSES[name](logits, targets, tensor, **options)
    array = None if weights is None else np.array(weights)
    assert float(found) == pytest.approx(ROWS[name][0](logits.numpy(), targets.numpy(), array, **options), rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_is_zero_when_right_and_larger_when_wrong(name):
    targets = batch((2, 5, 6))[1]
    one_hot = torch.nn.functional.one_hot(targets.where(targets != 255, 0), K).movedim(-1, 1).double()
    right, unsure, wrong = (LOSSES[name](scale * one_hot, targets, None).item() for scale in (40.0, 0.0, -40.0))
    assert right == pytest.approx(0, abs=1e-6)
    assert right < unsure < wrong


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_gradients_are_those_of_finite_differences(name, options, weights):
    logits, targets = batch((2, 3, 2))
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, targets, tensor, **options), logits.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_nothing_and_get_no_gradient(name):
    logits, targets = batch((2, 5, 6))
    ignored = (targets == 255).unsqueeze(1).expand_as(logits)
    other = logits.masked_fill(ignored, 50.0).requires_grad_()
    logits.requires_grad_()
    first, second = LOSSES[name](logits, targets, None), LOSSES[name](other, targets, None)
    assert first.item() == second.item()
    first.backward()
    assert not logits.grad[ignored].any()


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_a_batch_that_is_all_ignored_is_zero_with_zero_gradients(name, options, weights):
    logits = batch((2, 5, 6))[0].float().requires_grad_()
    loss = LOSSES[name](
        logits, torch.full((2, 5, 6), 255), None if weights is None else torch.tensor(weights), **options
    )
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_of_more_than_255_classes_the_one_of_that_number_is_learned(name):
    logits = torch.zeros(2, 300, requires_grad=True)
    resolve(LOSSES, name, where="x")(logits, torch.tensor([255, 255]), torch.ones(300)).backward()
    assert (logits.grad[:, 255] < 0).all()


def test_losses_add_up_with_their_weights():
    logits, targets = batch((2, 5, 6))
    both = WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 0.5}, {"name": "dice", "weight": 2.0}]))
    expected = 0.5 * LOSSES["cross_entropy"](logits, targets, None) + 2 * LOSSES["dice"](logits, targets, None)
    assert both(logits, targets).item() == pytest.approx(expected.item())
    assert both.as_list()[1] == {"name": "dice", "smooth": 1.0, "weight": 2.0}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "dise", "weight": 1.0}, r"losses\[0\] has no choice named 'dise'.*did you mean 'dice'"),
        ({"name": "dice", "weight": 1.0, "smoth": 2.0}, r"smoth: dice has no such option; did you mean 'smooth'"),
        ({"name": "dice", "weight": 1.0, "smooth": -1.0}, "greater than or equal to 0"),
        ({"name": "cross_entropy", "weight": 1.0, "label_smoothing": "much"}, "valid number"),
        ({"name": "dice", "weight": 0}, r"losses\[0\].weight is 0"),
        ({"name": "dice"}, r"losses\[0\].weight is None"),
    ],
)
def test_what_cannot_be_used_is_said(spec, message):
    with pytest.raises(GraftError) as error:
        resolve_losses([spec])
    assert re.search(message, str(error.value), re.DOTALL)


def test_options_come_from_the_registry():
    assert resolve(LOSSES, "dice", where="x").options == {"smooth": 1.0}
