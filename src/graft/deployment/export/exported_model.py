"""An exported folder opened for use: ONNX Runtime, the spec, the classes. Torch is not needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from graft.foundation.class_map import RGB, ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError, first_line, suggest
from graft.inference.image_to_logits import MIN_SIDE_PX, Preparation, Runner, predict_logits
from graft.inference.label_decisions import decide_labels, label_confidence, label_probabilities
from graft.inference.tiles import Tiling

ONNX_FILE, PREDICT_FILE = "model.onnx", "predict.json"
# The file of each target of graft.deployment.export.targets, which opening a model does not import.
TARGET_FILES = {
    "onnx": ONNX_FILE,
    "onnx_fp16": "model_fp16.onnx",
    "onnx_int8": "model_int8.onnx",
    "pt2": "model.pt2",
}
# Values of the fields that specs written by an older version of Graft do not have.
OLD_SPEC_DEFAULTS = {"min_side_px": MIN_SIDE_PX, "channels": RGB, "max_value": None, "thresholds": ()}


@dataclass(frozen=True)
class ExportedModel:
    """A model ready to predict.

    Attributes:
        runner: Runner from uint8 [B, H, W, C] to logits.
        spec: Form in which it wants its input.
        class_map: Classes, and their values in the source.
        tiling: Rule by which larger images are tiled.
    """

    runner: Runner
    spec: Preparation
    class_map: ClassMap
    tiling: Tiling

    def predict_labels(self, image: np.ndarray) -> LabelsFound:
        """The labels of an image, uint8 [H, W, C], of a model of images that may have several."""
        found = label_probabilities(predict_logits(self.runner, image, self.spec, self.tiling))
        decided = decide_labels(found, self.spec.thresholds)
        return LabelsFound(found, decided, label_confidence(found, decided))


@dataclass(frozen=True)
class LabelsFound:
    """The labels of an image.

    Attributes:
        probabilities: Probability of each class, float64 [K].
        decided: uint8 [K], one for each class whose probability reaches its threshold.
        confidence: Mean over the classes of the probability of what was decided.
    """

    probabilities: np.ndarray
    decided: np.ndarray
    confidence: float


def open_exported(folder: Path, *, num_threads: int | None = None, target: str = "onnx") -> ExportedModel:
    """Opens a model that `graft export` wrote.

    Args:
        folder: Folder like `models/exported`.
        num_threads: Number of threads of ONNX Runtime; every core by default.
        target: Target whose file computes.

    Raises:
        GraftError: A file is missing or damaged, or the model was not exported as this target.
    """
    if not folder.is_dir():
        raise GraftError("no such folder", where=folder, rule="a model is a folder written by graft export")
    spec = SimpleNamespace(**OLD_SPEC_DEFAULTS | read_json(folder / "spec.json"))
    runner = runner_of(_file_of(folder, target), num_threads)
    return ExportedModel(
        runner, spec, ClassMap.read(folder / "class_map.json"), Tiling(**read_json(folder / PREDICT_FILE))
    )


def _file_of(folder: Path, target: str) -> Path:
    if target not in TARGET_FILES:
        rule = f"the targets are {', '.join(TARGET_FILES)}"
        raise GraftError(f"no target named {target!r}", rule=rule, remedy=suggest(target, TARGET_FILES))
    file = folder / TARGET_FILES[target]
    if target != "onnx" and not file.is_file():
        there = ", ".join(name for name, other in TARGET_FILES.items() if (folder / other).is_file())
        remedy = f"add {target} to export.targets and run dvc repro, or choose one of: {there}"
        raise GraftError(f"this model was not exported as {target}", where=folder, remedy=remedy)
    return file


def session(path: Path, num_threads: int | None = None) -> Any:
    """Opens a file in ONNX Runtime on the CPU, with every graph optimisation on.

    Raises:
        GraftError: The file is missing or damaged.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base class of their own
        what = f"not a usable ONNX file ({first_line(error)})"
        raise GraftError(what, where=path, remedy="run dvc repro export") from None


def runner_of(path: Path, num_threads: int | None = None) -> Runner:
    """Opens an exported file; returns the function from images to logits.

    Raises:
        GraftError: The file is missing or damaged.
    """
    return partial(_open(path, num_threads), "logits")


def classifier_of(path: Path, num_threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Opens an exported file; returns the function from images that need no padding to class ids.

    Raises:
        GraftError: The file is missing or damaged.
    """
    return partial(_open(path, num_threads), "class_ids")


def _open(path: Path, num_threads: int | None) -> Callable[[str, np.ndarray], np.ndarray]:
    if path.suffix == ".pt2":
        try:
            from graft.deployment.export.pt2_file import open_pt2
        except ModuleNotFoundError as error:
            raise GraftError(
                f"{error.name} is not installed here",
                where=path,
                rule="the target pt2 runs in torch, all others in ONNX Runtime",
                remedy="choose another target (--target, GRAFT_SERVED_TARGET), or install torch",
            ) from None
        return open_pt2(path)
    return partial(_run, session(path, num_threads))


def onnx_runner(opened: Any) -> Runner:
    """Builds a `Runner` around an ONNX Runtime session."""
    return lambda images: _run(opened, "logits", images)


def onnx_class_ids(opened: Any, images: np.ndarray) -> np.ndarray:
    """Class ids of images that need no resizing and no padding: uint8 [B, H, W], int64 [B], or labels uint8 [B, K]."""
    return _run(opened, "class_ids", images)


def _run(opened: Any, output: str, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True  # class ids nobody asked for cost a tenth of the time
    return opened.run([output], {"images": np.ascontiguousarray(images)}, options)[0]
