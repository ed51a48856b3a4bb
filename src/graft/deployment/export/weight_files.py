"""The files of an exported model that follow from its weights alone.

Weights in half precision are rounded once, and everything else is computed from the rounded ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from graft.deployment.export.exported_model import PREDICT_FILE
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.models.saved_model import ModelSpec, save_state

if TYPE_CHECKING:
    from graft.params.sections import Export, Predict


def write_model(
    out: Path, original: nn.Module, spec: ModelSpec, classes: ClassMap, export: Export, predict: Predict
) -> nn.Module:
    """Writes weights, spec, class map and how large images are tiled.

    Returns:
        The model with the weights as they are stored, from which all of it is computed.
    """
    state = stored_state(original, export.weights_dtype)
    rounded = restore(original, state)
    save_state(out / "weights.safetensors", state, spec.as_dict())
    spec.write(out / "spec.json")
    classes.write(out / "class_map.json")
    write_json(out / PREDICT_FILE, {"max_pixels": predict.max_pixels, "overlap_px": predict.overlap_px})
    return rounded


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
