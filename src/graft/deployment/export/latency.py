"""Time for one image on one thread, in torch and in every exported file, up to the class ids."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from graft.data.images.stacks import decode
from graft.deployment.export.exported_model import classifier_of
from graft.deployment.export.parity import spread_rows
from graft.deployment.export.peak_memory import peak_bytes
from graft.foundation.progress import progress
from graft.inference.image_to_logits import most_likely_classes, prepare
from graft.inference.torch_runner import torch_runner
from graft.models.saved_model import ModelSpec

NUM_WARM_UPS, NUM_RUNS = 3, 21


def first_image(images: Path, spec: ModelSpec, max_pixels: int) -> np.ndarray:
    """The first image of a split as the model gets it, uint8 [H, W, C]."""
    return prepare(decode(spread_rows(images, 1)[0].image, spec), spec, max_pixels=max_pixels)


def costs(model: nn.Module, spec: ModelSpec, files: Mapping[str, Path], image: np.ndarray) -> dict[str, Any]:
    """The values of `latencies`, and where there are several files, the `peak_bytes` of each, measured in turn."""
    found: dict[str, Any] = {**latencies(model, spec, files, image)}
    if len(files) > 1:
        found["peak_bytes"] = {name: peak_bytes(file, image) for name, file in files.items()}
    return found


def time_in_turns(ways: Mapping[str, Callable[[], object]], doing: str) -> dict[str, float]:
    """Median milliseconds of each way; their runs alternate, so that a busy moment strikes all.

    Args:
        ways: Functions to time, by name.
        doing: Title of the progress bar.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in progress(range(NUM_WARM_UPS + NUM_RUNS), doing, unit="run"):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(times[NUM_WARM_UPS:]) for name, times in seconds.items()}


def latencies(model: nn.Module, spec: ModelSpec, files: Mapping[str, Path], image: np.ndarray) -> dict[str, float]:
    """Milliseconds, medians of runs that alternate, so that a busy moment strikes all.

    Args:
        model: The original; runs eagerly in float32, channels last, its logits decoded by NumPy.
        spec: Spec of the original.
        files: The exported file of each target, `onnx` among them.
        image: uint8 [H, W, C] of a size that needs no padding.

    Returns:
        `eager_ms`, `onnx_ms` and so on for each target, `speedup` (how many times faster ONNX Runtime is), `height_px`,
        `width_px`.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runner = torch_runner(model, spec)
        ways: dict[str, Callable[[], object]] = {"eager_ms": lambda: most_likely_classes(runner(image[None])[0])}
        ways |= {f"{name}_ms": partial(classifier_of(file, 1), image[None]) for name, file in files.items()}
        medians = time_in_turns(ways, "Timing torch and the exported files")
    finally:
        torch.set_num_threads(num_threads)
    sizes = {"height_px": float(image.shape[0]), "width_px": float(image.shape[1])}
    return {**medians, "speedup": medians["eager_ms"] / medians["onnx_ms"], **sizes}
