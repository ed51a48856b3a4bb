"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from graft.errors import GraftError


def sgd(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    nesterov: bool = False,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """v <- momentum * v + g + weight_decay * w; w <- w - learning_rate * v (Sutskever et al. 2013 for `nesterov`).

    A group that carries its own `weight_decay` keeps it.

    Raises:
        GraftError: `nesterov` without momentum.
    """
    if nesterov and momentum == 0:
        raise GraftError(
            "nesterov without momentum", rule="nesterov looks ahead along the momentum", remedy="set momentum"
        )
    return torch.optim.SGD(
        parameter_groups, learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
