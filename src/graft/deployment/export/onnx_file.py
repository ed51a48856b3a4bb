"""A torch model to an ONNX file: any batch and size, normalisation inside, the same bytes wherever it is written."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from graft.inference.image_to_logits import padding
from graft.inference.torch_runner import Deployable
from graft.models.saved_model import ModelSpec

if TYPE_CHECKING:
    import onnx

# The exporter only traces: batch, height and width of any size that the model takes, with no two numbers alike.
TRACED_SIZE = (2, 64, 96)
LARGEST_BELOW_ONE = math.nextafter(1.0, 0.0)


class ExportedModule(nn.Module):
    """The computation in the file: uint8 [B, H, W, C] to float32 logits and the classes of the largest of them.

    Class ids are uint8 [B, H, W] for segmentation and int64 [B] for classification. Where an image may have several
    labels they are uint8 [B, K], one for each class whose probability, the sigmoid of its logit, reaches its threshold.
    """

    def __init__(self, deployable: Deployable, spec: ModelSpec) -> None:
        super().__init__()
        self.deployable = deployable
        self.ids_dtype = torch.int64 if spec.task == "classification" else torch.uint8
        self.register_buffer("thresholds", _threshold_logits(spec.thresholds), persistent=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.deployable(images)
        if self.thresholds is not None:
            return logits, (logits >= self.thresholds).to(self.ids_dtype)
        return logits, logits.argmax(1).to(self.ids_dtype)


def write_onnx(path: Path, model: nn.Module, spec: ModelSpec, *, opset: int) -> None:
    """Writes `model` with input `images` and outputs `logits` and `class_ids`."""
    exported, example, free = traceable(model, spec)
    with silence(), torch.no_grad():
        program = torch.onnx.export(
            exported,
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=["images"],
            output_names=["logits", "class_ids"],
            dynamic_shapes={"images": free},
        )
    proto = cast("torch.onnx.ONNXProgram", program).model_proto
    # The exporter calls two sizes by one name (Swin's masks), and ONNX Runtime then plans one buffer for both;
    # it infers the shapes between the layers by itself.
    del proto.graph.value_info[:]
    write_proto(path, proto)


def write_proto(path: Path, proto: onnx.ModelProto) -> None:
    """Writes a file of ONNX that has the same bytes wherever it is written."""
    strip(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _threshold_logits(thresholds: Sequence[float]) -> torch.Tensor | None:
    """The logits of thresholds, float32 [K]; None of none.

    One of 1 is reached by each probability that rounds to 1: its logit is that of the largest number below 1.
    """
    if not thresholds:
        return None
    return torch.tensor(thresholds, dtype=torch.float64).clamp(max=LARGEST_BELOW_ONE).logit().float()


def traceable(model: nn.Module, spec: ModelSpec) -> tuple[ExportedModule, torch.Tensor, dict[int, str]]:
    """A copy of `model` to trace, images to trace it with, and the axes of these that are free.

    Batch, height and width are free; height and width are not in a model whose `fixed_size_px` says so.
    """
    is_fixed = getattr(model, "fixed_size_px", None) is not None
    free = {0: "batch"} if is_fixed else {0: "batch", 1: "height", 2: "width"}
    model = _without_inplace(copy.deepcopy(model))
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch takes both at once
    exported = ExportedModule(Deployable(model, spec.mean, spec.std), spec).eval()
    return exported, torch.zeros((*_traced_size(spec, is_fixed), len(spec.mean)), dtype=torch.uint8), free


def _without_inplace(model: nn.Module) -> nn.Module:
    """Lets activations write elsewhere: with free sizes, torch 2.15 traces in-place ones by way of their decomposition.

    The graph is the same; exporting an LR-ASPP on MobileNetV3 takes 29 s of CPU instead of 43.
    """
    for module in model.modules():
        if getattr(module, "inplace", False):
            cast("Any", module).inplace = False
    return model


def _traced_size(spec: ModelSpec, is_fixed: bool) -> tuple[int, int, int]:
    batch, *sides = TRACED_SIZE
    height, width = (side + padding(side, spec.padding_multiple, spec.min_side_px) for side in sides)
    return batch, height, width + (spec.padding_multiple if width == height and not is_fixed else 0)


def strip(proto: onnx.ModelProto) -> None:
    """Clears what says where and by which line of code a model was written: paths would change the bytes."""
    for part in (proto, *proto.functions, *_graphs(proto.graph)):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
        for holder in ("node", "input", "output", "value_info", "initializer"):
            for item in getattr(part, holder, ()):
                if not isinstance(item, str):
                    item.ClearField("doc_string")
                    item.ClearField("metadata_props")


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and the graphs inside its nodes (branches and loops)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner: Iterable[Any] = [attribute.g] if attribute.HasField("g") else attribute.graphs
            for one in inner:
                yield from _graphs(one)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Silences the exporter, which reports every step on stdout, and torch's warnings of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
