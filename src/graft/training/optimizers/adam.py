"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field


def adam(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    epsilon: Annotated[float, Field(gt=0)] = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Steps scaled by running means of the gradient and of its square.

    It needs little tuning of the rate, as each weight gets a step of about the same size. `weight_decay` is added to
    the gradient, so it too is scaled; adamw decays the weights themselves and is the better choice where decay matters.
    Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1, which has the defaults.

    Args:
        parameter_groups: A group that carries its own `weight_decay` keeps it.
        learning_rate: Learning rate of a step.
        beta1: How much of the gradients' running mean a step keeps.
        beta2: How much of the squares' running mean a step keeps.
        epsilon: Keeps the quotient finite.
        weight_decay: Added to the gradient, times the weights.
    """
    return torch.optim.Adam(
        parameter_groups, learning_rate, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=True
    )
