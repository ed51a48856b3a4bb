"""Export targets: the files a model is written as. One file each, `(source, path, *, options) -> facts`.

An entry writes the file and returns what the parity report shall say of how it was made. `onnx` is always among the
targets of a model and written first, so the others may start from it. Their limits are options; the stage applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graft.deployment.export.targets.onnx import onnx
from graft.deployment.export.targets.onnx_fp16 import onnx_fp16
from graft.deployment.export.targets.onnx_int8 import onnx_int8
from graft.deployment.export.targets.pt2 import pt2
from graft.foundation.choices import Choice, resolve

TARGETS: dict[str, Callable[..., dict[str, Any]]] = {
    "onnx": onnx,
    "onnx_fp16": onnx_fp16,
    "onnx_int8": onnx_int8,
    "pt2": pt2,
}

__all__ = ["TARGETS", "resolve_targets"]


def resolve_targets(specs: Sequence[Any]) -> dict[str, Choice]:
    """The chosen targets with their options, by name, `onnx` first.

    Raises:
        GraftError: A target or an option does not exist, or a value has the wrong type.
    """
    choices = [resolve(TARGETS, spec, where="export.targets") for spec in specs]
    return {choice.name: choice for choice in sorted(choices, key=lambda choice: choice.name != "onnx")}
