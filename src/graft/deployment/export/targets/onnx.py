"""The target `onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.deployment.export.export_source import ExportSource


def onnx(source: ExportSource, path: Path) -> dict[str, Any]:
    """ONNX in float32: the file that is served, promoted and compared, and that every other target is measured by.

    Any batch and size, normalisation inside, at the opset of `export.opset`. ONNX Runtime computes what torch computes
    up to the order of additions; `export.max_logit_difference`, `export.min_equal_fraction` and
    `export.max_score_difference` bound the rest. Every model has it; leave it first in the list.
    """
    from graft.deployment.export.onnx_file import write_onnx

    write_onnx(path, source.model, source.spec, opset=source.opset)
    return {}
