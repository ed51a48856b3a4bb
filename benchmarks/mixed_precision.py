"""A training step in bf16, compared with one in float32, and with all of it in bf16 as torch's own autocast has it.

Batches of 4 images of 256×256 px, channels last; no network is trained beyond these steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.figures import Figure, Options, Skipped, interleave, median, ratio
from graft.inference.runtime import emulated_precision
from graft.inference.torch_runner import autocast
from graft.models.architectures import build_fresh
from graft.models.model import WithAuxiliary
from graft.training.mixed_precision import training_autocast

NETWORKS = {
    "FPN on EfficientNet-Lite0": {"name": "fpn", "encoder": "tu-tf_efficientnet_lite0"},
    "LR-ASPP on MobileNetV3-Large": {"name": "lraspp", "backbone": "mobilenet_v3_large"},
    "FPN on ResNet-18": {"name": "fpn", "encoder": "resnet18"},
}
NUM_CLASSES, BATCH_SIZE, SIDE_PX = 11, 4, 256
PRECISIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float32": partial(training_autocast, "cpu", "float32"),
    "bf16": partial(training_autocast, "cpu", "bf16"),
    "all in bf16": partial(autocast, "cpu", "bf16"),
}


def run(options: Options) -> list[Figure]:
    """Measures one step per round of each network and precision.

    Raises:
        Skipped: This processor has no units for bf16.
    """
    if (emulated := emulated_precision("cpu", "bf16")) is not None:
        raise Skipped(emulated.what)
    torch.set_num_threads(options.threads)
    return [figure for name in NETWORKS for figure in compare(name, options)]


def compare(name: str, options: Options) -> list[Figure]:
    """The figures of one network."""
    model = build_fresh("segmentation", NETWORKS[name], NUM_CLASSES, 0).to(memory_format=torch.channels_last).train()
    images = torch.rand(BATCH_SIZE, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(NUM_CLASSES, (BATCH_SIZE, SIDE_PX, SIDE_PX))

    def step(precision: str) -> None:
        with PRECISIONS[precision]():
            output = model(images)
        logits = output.logits if isinstance(output, WithAuxiliary) else output
        F.cross_entropy(logits.float(), targets).backward()
        model.zero_grad(set_to_none=True)

    seconds = interleave({each: partial(step, each) for each in PRECISIONS}, options.rounds, f"Steps of {name}")
    return [
        ratio(f"{name}: step in bf16 / in float32", seconds["bf16"], seconds["float32"]),
        ratio(f"{name}: step in bf16 / all of it in bf16", seconds["bf16"], seconds["all in bf16"]),
        median(f"{name}: step in float32", seconds["float32"], "ms", 1000),
    ]
