"""Optimizers of the library timm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from pydantic import Field

from graft.foundation.errors import GraftError, suggest

# Why some that timm lists are not offered, by how their names begin.
LEFT_OUT = {
    "bnb": "needs the package bitsandbytes and a GPU",
    "fused": "needs the package apex and a GPU",
    "adahessian": "needs gradients of gradients, which the training loop does not make",
    "kron": "draws at random without saving its state, so an interrupted training would end elsewhere",
}


def timm(
    parameter_groups: Sequence[dict[str, Any]],
    learning_rate: float,
    *,
    algorithm: str,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Any optimizer that timm offers by name, with timm's own settings.

    For what this folder has no file for: `lamb` and `lars` for very large batches, `lion` with half of AdamW's memory,
    `nadamw`, `adopt`, `muon` and others. A name that ends in `w` decays weights as adamw does, one that begins with
    `c` steps cautiously (Liang et al. 2024, "Cautious Optimizers"). Source: timm.optim.list_optimizers, whose
    descriptions name the papers.

    Args:
        parameter_groups: A group that carries its own `weight_decay` keeps it.
        learning_rate: Learning rate of a step.
        algorithm: Its name in timm.
        weight_decay: As the algorithm means it.

    Raises:
        GraftError: timm has no such optimizer, or it cannot be used here.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    offered = offered_algorithms()
    if algorithm not in offered:
        listed = algorithm in list_optimizers()
        reason = next((why for start, why in LEFT_OUT.items() if algorithm.startswith(start)), None)
        raise GraftError(
            f"fine_tune.optimizer.algorithm: timm has no optimizer {algorithm!r} that can be used here",
            rule=f"it {reason}" if listed and reason else "the names are those of timm.optim.list_optimizers",
            remedy=f"one of {', '.join(offered)}" if listed else suggest(algorithm, offered),
        )
    return create_optimizer_v2(parameter_groups, algorithm, learning_rate, weight_decay)


def offered_algorithms() -> list[str]:
    """The names of timm's optimizers that can be used."""
    from timm.optim import list_optimizers

    return [name for name in cast(list[str], list_optimizers()) if not name.startswith(tuple(LEFT_OUT))]
