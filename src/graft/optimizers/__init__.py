"""How a step moves the weights: one file an optimizer, `(parameter_groups, learning_rate, *, options) -> Optimizer`."""

from __future__ import annotations

from graft.optimizers.adam import adam
from graft.optimizers.adamw import adamw
from graft.optimizers.rmsprop import rmsprop
from graft.optimizers.sgd import sgd
from graft.optimizers.timm import timm

OPTIMIZERS = {
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "timm": timm,
}

__all__ = ["OPTIMIZERS", "adam", "adamw", "rmsprop", "sgd", "timm"]
