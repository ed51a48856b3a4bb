"""One image on one thread: ONNX Runtime compared with eager torch, both from uint8 pixels to class ids.

The model is the bundled one if it is installed, else an untrained LR-ASPP MobileNetV3-Large, which is as fast; the
image has 256×192 px.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleave, median, ratio
from graft.deployment.export.exported_model import onnx_class_ids, session
from graft.deployment.export.onnx_file import write_onnx
from graft.inference.torch_runner import Deployable
from graft.models.architectures import Model, build_fresh
from graft.models.saved_model import ModelSpec
from graft.models.weights.bundled import FOLDER, read_bundle
from graft.scenes import CLASSES, render

LEAST_TIMES_EAGER = 1.3
WIDTH_PX, HEIGHT_PX = 256, 192
RUNS_A_ROUND = 20


def run(options: Options) -> list[Figure]:
    """Runs both in turn; torch has its weights and pixels in channels-last layout, its faster one."""
    torch.set_num_threads(1)
    name, (model, spec) = ("bundled", load_bundled()) if FOLDER.is_dir() else ("fresh LR-ASPP", build_untrained())
    image = render(7, "day", 0, width=WIDTH_PX, height=HEIGHT_PX).image[None]
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(path, model, spec, opset=18)
        opened = session(path, num_threads=1)
    eager = eager_class_ids(model, spec)
    equal = float((eager(image) == onnx_class_ids(opened, image)).mean())
    ways = {"torch": lambda: eager(image), "onnx": lambda: onnx_class_ids(opened, image)}
    seconds = interleave(ways, RUNS_A_ROUND * options.rounds, "Predicting one image", num_warm_ups=5)
    return [
        ratio("speed of ONNX Runtime / eager torch", seconds["torch"], seconds["onnx"], at_least=LEAST_TIMES_EAGER),
        median(f"eager torch, {name}, one thread", seconds["torch"], "ms", 1000),
        median(f"ONNX Runtime, {name}, one thread", seconds["onnx"], "ms", 1000),
        Figure("pixels with the same class", equal, "%"),
    ]


def eager_class_ids(model: Model, spec: ModelSpec) -> Callable[[np.ndarray], np.ndarray]:
    """A function in torch alone from images, uint8 [B, H, W, 3], to class ids, uint8 [B, H, W]."""
    deployable = Deployable(model.to(memory_format=torch.channels_last), spec.mean, spec.std).eval()

    def class_ids(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return deployable(torch.from_numpy(images)).argmax(1).to(torch.uint8).numpy()

    return class_ids


def load_bundled() -> tuple[Model, ModelSpec]:
    """Loads the model that comes with Graft."""
    spec = ModelSpec.read(FOLDER / "spec.json")
    model = build_fresh(spec.task, spec.model, spec.num_classes, 0)
    model.load_state_dict({name: tensor.float() for name, tensor in read_bundle(FOLDER).state.items()})
    return model.eval(), spec


def build_untrained() -> tuple[Model, ModelSpec]:
    """Builds the same architecture without training."""
    model = build_fresh("segmentation", {"name": "lraspp"}, len(CLASSES), 0).eval()
    return model, prepared.untrained_spec("segmentation", {"name": "lraspp"}, CLASSES, model)
