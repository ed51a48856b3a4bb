"""A folder as export writes it, around an ONNX file small enough to build by hand: logits are the colour planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json


def small_export(folder: Path, task: str = "segmentation", source_values: tuple[Any, ...] = (0, 1, 2)) -> Path:
    """Class 0 where an image is red, 1 where green, 2 where blue."""
    folder.mkdir(parents=True, exist_ok=True)
    segments = task == "segmentation"
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Identity", ["planes"], ["logits"])
        if segments
        else helper.make_node("ReduceMean", ["planes", "axes"], ["logits"], keepdims=0),
    ]
    axes = [] if segments else [onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes")]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])]
    shape = ["batch", 3, "height", "width"] if segments else ["batch", 3]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "planes", inputs, outputs, axes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    spec = {"task": task, "num_classes": 3, "resize": {"name": "none"}, "padding_multiple": 8}
    write_json(folder / "spec.json", spec)
    write_json(folder / "predict.json", {"max_pixels": 65536, "overlap_px": 32})
    colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    ClassMap(task, ("red", "green", "blue"), colors, source_values, False, True, "mask_folder").write(
        folder / "class_map.json"
    )
    return folder


def flag(height: int, width: int) -> np.ndarray:
    """Red, green and blue in three upright bands, uint8 RGB."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, : width // 3, 0] = image[:, width // 3 : 2 * width // 3, 1] = image[:, 2 * width // 3 :, 2] = 220
    return image


def bands(height: int, width: int) -> np.ndarray:
    """The true class ids of `flag`."""
    return flag(height, width).argmax(axis=2).astype(np.uint8)
