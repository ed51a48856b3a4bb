"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field


def rmsprop(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.99,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    epsilon: Annotated[float, Field(gt=0)] = 1e-8,
    centered: bool = False,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """The gradient divided by the root of a running mean of its square.

    s <- smoothing * s + (1 - smoothing) * g**2; w <- w - learning_rate * g / (sqrt(s) + epsilon). What MobileNet and
    EfficientNet were trained with, and so a natural choice to go on with them at the rates of their papers. Tieleman &
    Hinton 2012, "Lecture 6.5: rmsprop"; the defaults are PyTorch's.

    Args:
        parameter_groups: A group that carries its own `weight_decay` keeps it.
        learning_rate: Learning rate of a step.
        smoothing: How much of the running mean a step keeps.
        momentum: Momentum of the divided gradients: v <- momentum * v + g / (…), and the weights move along v.
        epsilon: Keeps the quotient finite.
        centered: Take the square of the gradients' running mean off s, which makes it a variance (Graves 2013,
            "Generating Sequences With Recurrent Neural Networks", equations 38 to 45).
        weight_decay: Added to the gradient, times the weights.
    """
    return torch.optim.RMSprop(
        parameter_groups,
        learning_rate,
        alpha=smoothing,
        momentum=momentum,
        eps=epsilon,
        centered=centered,
        weight_decay=weight_decay,
    )
