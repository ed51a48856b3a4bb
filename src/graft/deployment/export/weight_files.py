"""The files of an exported model that follow from its weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from graft.deployment.export.exported_model import ONNX_FILE, PREDICT_FILE
from graft.deployment.export.half_precision import restore, stored_state
from graft.deployment.export.onnx_file import write_onnx
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.models.saved_model import ModelSpec, save_state

if TYPE_CHECKING:
    from graft.params.sections import Export, Predict


def write_model(
    out: Path, original: nn.Module, spec: ModelSpec, classes: ClassMap, export: Export, predict: Predict
) -> nn.Module:
    """Writes ONNX, weights, spec, class map and how large images are tiled.

    Returns:
        The model with the weights as they are stored, from which all of it is computed.
    """
    state = stored_state(original, export.weights_dtype)
    rounded = restore(original, state)
    write_onnx(out / ONNX_FILE, rounded, spec, opset=export.opset)
    save_state(out / "weights.safetensors", state, spec.as_dict())
    spec.write(out / "spec.json")
    classes.write(out / "class_map.json")
    write_json(out / PREDICT_FILE, {"max_pixels": predict.max_pixels, "overlap_px": predict.overlap_px})
    return rounded
