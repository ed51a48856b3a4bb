"""Weights in half precision: rounded once, and everything exported is computed from the rounded ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graft.foundation.errors import GraftError


def stored_state(model: nn.Module, dtype: str) -> dict[str, Tensor]:
    """The state as it is stored: floating point tensors as `dtype` (`float32` or `float16`), the others as they are.

    Raises:
        GraftError: A value does not fit into half precision.
    """
    wanted = getattr(torch, dtype)
    state = {name: t.to(wanted) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise GraftError.of_all(
            f"tensors with values beyond {dtype}", broken, remedy="set export.weights_dtype: float32"
        )
    return state


def restore(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `model` that computes in float32 with exactly the stored values."""
    rounded = copy.deepcopy(model)
    rounded.load_state_dict(dict(state))
    return rounded.eval()
