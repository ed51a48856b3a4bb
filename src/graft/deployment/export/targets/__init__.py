"""Export targets: the files a model is written as. One file each, `(source, path, *, options) -> facts`.

An entry writes the file and returns what the parity report shall say of how it was made. `onnx` is always among the
targets of a model and written first, so the others may start from it. Their limits are options; the stage applies them.
One that reads images stands in `READ_IMAGES`, so that the images are an input of export only where they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graft.deployment.export.targets.onnx import onnx
from graft.deployment.export.targets.onnx_fp16 import onnx_fp16
from graft.deployment.export.targets.onnx_int8 import onnx_int8
from graft.deployment.export.targets.pt2 import pt2
from graft.foundation.choices import Choice, resolve
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from graft.params.sections import Export

TARGETS: dict[str, Callable[..., dict[str, Any]]] = {
    "onnx": onnx,
    "onnx_fp16": onnx_fp16,
    "onnx_int8": onnx_int8,
    "pt2": pt2,
}
READ_IMAGES = ("onnx_int8",)  # targets that cannot be written without the images of these keys of `export`:
IMAGES = {"calibration": "train", "scan": "val"}

__all__ = ["IMAGES", "READ_IMAGES", "TARGETS", "image_problems", "resolve_targets"]


def resolve_targets(specs: Sequence[Any]) -> dict[str, Choice]:
    """The chosen targets with their options, by name, `onnx` first.

    Raises:
        GraftError: A target or an option does not exist, or a value has the wrong type.
    """
    choices = [resolve(TARGETS, spec, where="export.targets") for spec in specs]
    return {choice.name: choice for choice in sorted(choices, key=lambda choice: choice.name != "onnx")}


def image_problems(export: Export) -> dict[str, GraftError]:
    """Problems of the images that a section names, by key: none where a target reads some, some where none does."""
    readers = [name for name in resolve_targets(export.targets) if name in READ_IMAGES]
    said = f"{readers[0]} is among the targets" if readers else "no target reads images"
    problems = {}
    for key, split in IMAGES.items():
        named, needed = getattr(export, key), split if readers else "none"
        if named != needed:
            problems[key] = GraftError(
                f"export.{key} is {named}, and {said}",
                rule=f"{', '.join(READ_IMAGES)} alone reads {split} images, and what is named is an input of export",
                remedy=f"set export.{key}: {needed}",
            )
    return problems
