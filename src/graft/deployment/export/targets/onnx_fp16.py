"""The target `onnx_fp16`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.deployment.export.export_source import ExportSource


def onnx_fp16(
    source: ExportSource,
    path: Path,
    *,
    max_score_difference: Annotated[float, Field(gt=0)] = 0.001,
    min_equal_fraction: Annotated[float, Field(ge=0, le=1)] = 0.99,
) -> dict[str, Any]:
    """ONNX that computes in half precision: half the bytes, for GPUs and neural processors.

    The float32 file, converted by ONNX Runtime: weights and activations become float16, steps that have no float16
    kernel stay in float32, the input stays uint8 and the logits float32.

    Take it for an accelerator that computes in float16. On a processor ONNX Runtime puts a conversion before and after
    nearly every layer, which makes it slower than float32; there it saves bytes and nothing else.

    Args:
        max_score_difference: By how much the score (mean IoU, accuracy) may fall on the evaluated split.
        min_equal_fraction: Least share of predictions that stay the same.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from graft.deployment.export.onnx_file import write_proto

    write_proto(path, convert_float_to_float16(onnx.load(source.onnx), keep_io_types=True))
    return {}
