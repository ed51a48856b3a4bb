"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field


def adamw(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    epsilon: Annotated[float, Field(gt=0)] = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
) -> torch.optim.Optimizer:
    """Adam whose weights shrink by learning_rate * weight_decay a step (Loshchilov & Hutter 2019, algorithm 2).

    A group that carries its own `weight_decay` keeps it.
    """
    return torch.optim.AdamW(
        parameter_groups, learning_rate, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=True
    )
