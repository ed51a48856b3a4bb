"""The target `pt2`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.deployment.export.export_source import ExportSource


def pt2(
    source: ExportSource,
    path: Path,
    *,
    max_score_difference: Annotated[float, Field(gt=0)] = 0.001,
    min_equal_fraction: Annotated[float, Field(ge=0, le=1)] = 0.999,
) -> dict[str, Any]:
    """The program of torch.export: for those who have torch but not Graft, and the start of AOTInductor or ExecuTorch.

    The graph of ATen operators with its weights (https://docs.pytorch.org/docs/stable/export.html), of any batch and
    size, normalisation inside: `torch.export.load("model.pt2").module()(images)` takes uint8 [B, H, W, C] and gives
    logits and class ids.

    Take it where torch runs anyway. The file is as large as float32 ONNX, and runs as fast as torch without compiling.

    Args:
        max_score_difference: By how much the score (mean IoU, accuracy) may fall on the evaluated split.
        min_equal_fraction: Least share of predictions that stay the same.
    """
    from graft.deployment.export.pt2_file import write_pt2

    write_pt2(path, source.model, source.spec)
    return {}
