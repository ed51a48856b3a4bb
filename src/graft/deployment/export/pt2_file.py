"""A torch model to a program of torch.export, and back: any batch and size, normalisation inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from graft.deployment.export.onnx_file import silence, traceable
from graft.foundation.errors import GraftError, first_line
from graft.models.saved_model import ModelSpec

OUTPUTS = ("logits", "class_ids")


def write_pt2(path: Path, model: nn.Module, spec: ModelSpec) -> None:
    """Writes `model` as a program from images to logits and class ids, without a trace of where it was written.

    Raises:
        GraftError: torch.export cannot follow the network.
    """
    module, example, free = traceable(model, spec)
    sizes = {"images": dict.fromkeys(free, torch.export.Dim.DYNAMIC)}
    with silence(), torch.no_grad():
        try:
            program = torch.export.export(
                module, (example,), dynamic_shapes=sizes, prefer_deferred_runtime_asserts_over_guards=True
            )
        except Exception as error:  # its errors have no base class of their own
            what = f"torch.export cannot follow this network ({first_line(error)})"
            raise GraftError(what, where="export.targets", remedy="take pt2 out of export.targets") from None
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # file and line of the code that was traced
        torch.export.save(program, path)


def open_pt2(path: Path) -> Callable[[str, np.ndarray], np.ndarray]:
    """Opens a program; returns the function from the name of an output and images to that output.

    Raises:
        GraftError: The file is missing or damaged.
    """
    try:
        with silence():
            program = torch.export.load(path).module()
    except Exception as error:  # its errors have no base class of their own
        what = f"not a usable pt2 file ({first_line(error)})"
        raise GraftError(what, where=path, remedy="run dvc repro export") from None

    def run(output: str, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            outputs = program(torch.from_numpy(np.require(images, np.uint8, ["C", "W"])))
        return outputs[OUTPUTS.index(output)].numpy()

    return run
