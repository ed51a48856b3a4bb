"""How a step moves the weights: one file an optimizer, `(parameter_groups, learning_rate, *, options) -> Optimizer`."""

from __future__ import annotations

from graft.optimizers.adam import adam
from graft.optimizers.adamw import adamw
from graft.optimizers.sgd import sgd

OPTIMIZERS = {
    "adam": adam,
    "adamw": adamw,
    "sgd": sgd,
}

__all__ = ["OPTIMIZERS", "adam", "adamw", "sgd"]
