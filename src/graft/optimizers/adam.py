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
    """Steps scaled by running means of the gradient and of its square (Kingma & Ba 2015, algorithm 1).

    `weight_decay` is added to the gradient, so it too is scaled; adamw decays the weights themselves. A group that
    carries its own `weight_decay` keeps it.
    """
    return torch.optim.Adam(
        parameter_groups, learning_rate, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=True
    )
