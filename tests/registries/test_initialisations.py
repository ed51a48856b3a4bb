"""Initialisations: the spread each formula promises, and only new layers touched."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from graft.models.initialisations import INITIALISATIONS, apply

FAN_IN, FAN_OUT = 32 * 9, 64 * 9
# The largest value (uniform) or the deviation (normal) of a convolution of 32 to 64 channels, 3 by 3, by the formulas.
EXPECTED = {
    "library": None,
    "xavier_uniform": ("bound", math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "xavier_normal": ("deviation", math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "he_uniform": ("bound", math.sqrt(6 / FAN_IN)),
    "he_normal": ("deviation", math.sqrt(2 / FAN_IN)),
}


def test_the_initialisations_are_these() -> None:
    assert set(INITIALISATIONS) == set(EXPECTED)


def test_the_library_is_left_alone() -> None:
    assert INITIALISATIONS["library"]() is None


@pytest.mark.parametrize("name", [name for name, value in EXPECTED.items() if value])
def test_weights_spread_as_the_formula_says(name: str) -> None:
    layer = nn.Conv2d(32, 64, 3)
    assert apply(INITIALISATIONS[name](), nn.Sequential(layer), {"0.weight", "0.bias"}, 5) == {"0.weight", "0.bias"}
    kind, value = EXPECTED[name]
    weight = layer.weight.detach()
    if kind == "bound":
        assert 0.99 * value < weight.abs().max() <= value
        assert weight.std().item() == pytest.approx(value / math.sqrt(3), rel=0.02)
    else:
        assert weight.std().item() == pytest.approx(value, rel=0.02)
        assert weight.abs().max() > 3 * value
    assert not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "option", "factor"),
    [("xavier_normal", {"gain": 2.0}, 2), ("he_normal", {"mode": "fan_out"}, math.sqrt(FAN_IN / FAN_OUT))],
)
def test_options_scale_the_deviation(name: str, option: dict, factor: float) -> None:
    layer = nn.Conv2d(32, 64, 3)
    apply(INITIALISATIONS[name](**option), nn.Sequential(layer), {"0.weight"}, 5)
    assert layer.weight.std().item() == pytest.approx(factor * EXPECTED[name][1], rel=0.02)


def test_what_is_not_named_and_what_normalises_stays() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = {"1.weight", "1.bias", "3.weight"}
    assert apply(INITIALISATIONS["he_uniform"](), model, names, 1) == {"3.weight"}
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"3.weight"}


def test_the_same_seed_gives_the_same_weights() -> None:
    models = [nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        apply(INITIALISATIONS["xavier_uniform"](), model, {"0.weight", "1.weight"}, seed)
    assert torch.equal(models[0][0].weight, models[1][0].weight)
    assert not torch.equal(models[0][0].weight, models[0][1].weight)
    assert not torch.equal(models[0][0].weight, models[2][0].weight)
