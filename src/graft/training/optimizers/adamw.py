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
    """Adam whose weights shrink by learning_rate * weight_decay a step.

    The usual choice for fine-tuning, and nearly the only one for transformers. Loshchilov & Hutter 2019, "Decoupled
    Weight Decay Regularization", algorithm 2; the betas are Adam's, the decay is PyTorch's.

    Args:
        parameter_groups: A group that carries its own `weight_decay` keeps it.
        learning_rate: Learning rate of a step.
        beta1: How much of the gradients' running mean a step keeps.
        beta2: How much of the squares' running mean a step keeps.
        epsilon: Keeps the quotient finite.
        weight_decay: Share of a weight that a step at a learning rate of one takes away.
    """
    return torch.optim.AdamW(
        parameter_groups, learning_rate, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=True
    )
