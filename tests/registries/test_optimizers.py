"""Every optimizer against its paper's algorithm, worked in NumPy."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.training.optimizers import OPTIMIZERS
from graft.training.optimizers.timm import offered_algorithms

RATE = 0.1


def sgd(weights, gradients, momentum=0.9, nesterov=False, weight_decay=0.0):
    velocity = None
    for gradient in gradients:
        gradient = gradient + weight_decay * weights
        velocity = gradient if velocity is None else momentum * velocity + gradient
        weights = weights - RATE * (gradient + momentum * velocity if nesterov else velocity)
    return weights


def adam(weights, gradients, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=0.0):
    first = second = 0.0
    for t, gradient in enumerate(gradients, 1):
        gradient = gradient + weight_decay * weights
        weights = weights * (1 - RATE * decoupled)
        first, second = beta1 * first + (1 - beta1) * gradient, beta2 * second + (1 - beta2) * gradient**2
        weights = weights - RATE * (first / (1 - beta1**t)) / (np.sqrt(second / (1 - beta2**t)) + epsilon)
    return weights


def adamw(weights, gradients, weight_decay=0.01, **options):
    return adam(weights, gradients, decoupled=weight_decay, **options)


def rmsprop(weights, gradients, smoothing=0.99, momentum=0.0, epsilon=1e-8, centered=False, weight_decay=0.0):
    mean = square = velocity = 0.0
    for gradient in gradients:
        gradient = gradient + weight_decay * weights
        square = smoothing * square + (1 - smoothing) * gradient**2
        mean = smoothing * mean + (1 - smoothing) * gradient
        velocity = momentum * velocity + gradient / (np.sqrt(square - centered * mean**2) + epsilon)
        weights = weights - RATE * velocity
    return weights


def lion(weights, gradients, algorithm, weight_decay=0.0):
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2."""
    momentum = 0.0
    for gradient in gradients:
        direction = np.sign(0.9 * momentum + 0.1 * gradient)
        weights = weights * (1 - RATE * weight_decay) - RATE * direction
        momentum = 0.99 * momentum + 0.01 * gradient
    return weights


ROWS = {
    "adam": (adam, [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}]),
    "adamw": (adamw, [{}, {"weight_decay": 0.3, "beta1": 0.8}]),
    "rmsprop": (rmsprop, [{}, {"smoothing": 0.5, "momentum": 0.8, "centered": True, "weight_decay": 0.1}]),
    "sgd": (sgd, [{}, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.0}]),
    "timm": (lion, [{"algorithm": "lion"}, {"algorithm": "lion", "weight_decay": 0.3}]),
}
NEEDED = {"timm": {"algorithm": "nadamw"}}


def test_every_optimizer_has_a_row():
    assert list(ROWS) == list(OPTIMIZERS)


def stepped(spec, gradients, **group):
    weights = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    optimizer = resolve(OPTIMIZERS, spec, where="fine_tune.optimizer")([{"params": [weights], **group}], RATE)
    for gradient in gradients:
        weights.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    return weights.detach().numpy()


@pytest.mark.parametrize(("name", "options"), [(name, options) for name, (_, rows) in ROWS.items() for options in rows])
def test_follows_its_paper(name, options):
    gradients = np.random.default_rng(1).normal(size=(5, 3))
    expected = ROWS[name][0](np.array([1.0, -2.0, 3.0]), gradients, **options)
    np.testing.assert_allclose(stepped({"name": name, **options}, gradients), expected, rtol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_group_keeps_its_own_weight_decay(name):
    gradients = np.random.default_rng(1).normal(size=(5, 3))
    spec = {"name": name, **NEEDED.get(name, {})}
    kept = stepped({**spec, "weight_decay": 0.5}, gradients, weight_decay=0.0)
    np.testing.assert_array_equal(kept, stepped({**spec, "weight_decay": 0.0}, gradients))
    assert (kept != stepped({**spec, "weight_decay": 0.5}, gradients)).any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("adamv", "did you mean 'adam"),
        ({"name": "sgd", "momentun": 0.9}, "did you mean 'momentum'"),
        ({"name": "adamw", "beta1": 1.0}, "less than 1"),
        ({"name": "sgd", "nesterov": "yes"}, "valid boolean"),
        ("timm", "algorithm: timm needs this option"),
        ({"name": "timm", "algorithm": "lionn"}, "did you mean 'lion'"),
        ({"name": "timm", "algorithm": "bnbadam"}, "needs the package bitsandbytes"),
        ({"name": "timm", "algorithm": "fusedlamb"}, "needs the package apex"),
        ({"name": "timm", "algorithm": "adahessian"}, "needs gradients of gradients"),
        ({"name": "timm", "algorithm": "kronw"}, "draws at random without saving its state"),
    ],
)
def test_what_cannot_be_used_is_said(spec, message):
    with pytest.raises(GraftError, match=r"fine_tune\.optimizer") as error:
        stepped(spec, [])
    assert message in str(error.value)


def test_nesterov_needs_momentum():
    with pytest.raises(GraftError, match="nesterov without momentum"):
        stepped({"name": "sgd", "momentum": 0.0, "nesterov": True}, [])


def quadratic_steps(optimizer, weights, num_steps):
    for _ in range(num_steps):
        sum((tensor**2).sum() for tensor in weights).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("algorithm", offered_algorithms())
def test_what_timm_offers_goes_on_from_its_saved_state_bit_for_bit(algorithm):
    def begun(matrix, vector):
        weights = [torch.nn.Parameter(matrix.clone()), torch.nn.Parameter(vector.clone())]
        groups = [{"params": [weights[0]]}, {"params": [weights[1]], "weight_decay": 0.0, "rate_factor": 0.5}]
        return weights, OPTIMIZERS["timm"](groups, 0.01, algorithm=algorithm, weight_decay=0.01)

    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), torch.ones(4)
    weights, optimizer = begun(*start)
    quadratic_steps(optimizer, weights, 3)
    assert not torch.equal(weights[0], start[0])
    assert optimizer.param_groups[1]["weight_decay"] == 0
    resumed, again = begun(weights[0].detach(), weights[1].detach())
    content = io.BytesIO()
    torch.save(optimizer.state_dict(), content)
    again.load_state_dict(torch.load(io.BytesIO(content.getvalue()), weights_only=True))
    for some, their in ((optimizer, weights), (again, resumed)):
        quadratic_steps(some, their, 3)
    assert all(torch.equal(a, b) for a, b in zip(weights, resumed, strict=True))
