"""Optimizers: one file each, `(parameter_groups, learning_rate, *, options) -> Optimizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.training.optimizers.adam import adam
from graft.training.optimizers.adamw import adamw
from graft.training.optimizers.rmsprop import rmsprop
from graft.training.optimizers.sgd import sgd
from graft.training.optimizers.timm import timm

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "timm": timm,
}

__all__ = ["OPTIMIZERS", "adam", "adamw", "rmsprop", "sgd", "timm"]
