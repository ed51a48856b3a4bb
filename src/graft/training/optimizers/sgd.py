"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from graft.foundation.errors import GraftError


def sgd(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    nesterov: bool = False,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum.

    v <- momentum * v + g + weight_decay * w; w <- w - learning_rate * v. What most published convolutional networks
    were trained with; it wants a rate some ten to a hundred times Adam's, found with `graft find-rate`. Sutskever et
    al. 2013, "On the importance of initialization and momentum in deep learning", section 2; momentum 0.9 is the usual
    value (He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.4).

    Args:
        parameter_groups: A group that carries its own `weight_decay` keeps it.
        learning_rate: Learning rate of a step.
        momentum: How much of the last step is repeated.
        nesterov: Look ahead along the momentum before taking the gradient (Sutskever et al. 2013, equation 3).
        weight_decay: Added to the gradient, times the weights.

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
