"""The cost of an epoch in time and memory; it differs from run to run, so no declared output holds it."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import asdict, dataclass

import torch

BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024  # getrusage counts kilobytes on Linux, bytes on macOS


@dataclass(frozen=True)
class EpochCost:
    """The cost of an epoch.

    Attributes:
        seconds: Wall time, validation included.
        images_per_second: Number of training images by the time their steps took, validation left out.
        peak_memory_bytes: Largest resident memory of this process since it started.
        peak_gpu_memory_bytes: Largest memory of the tensors on the GPU within the epoch; None where there is no GPU.
        view_height_px: Height of the views; None where it is the same in all epochs.
        view_width_px: Width of the views, likewise.
    """

    seconds: float
    images_per_second: float
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None = None
    view_height_px: int | None = None
    view_width_px: int | None = None

    def curve(self) -> dict[str, float]:
        """The numbers that make curves, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class EpochMeter:
    """Measures an epoch, which begins when the meter is created.

    Args:
        device: Device that trains.
        size: Height and width of the views in pixels; None where they are the same in all epochs.
    """

    def __init__(self, device: torch.device, size: tuple[int, int] | None = None) -> None:
        self._device, self._num_images, self._step_seconds = device, 0, 0.0
        self._size = size
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._started = time.perf_counter()

    def count(self, num_images: int) -> None:
        """Counts the images of a step."""
        self._num_images += num_images

    def end_steps(self) -> None:
        """Notes that the last step is taken, before validation begins; the device must have finished it."""
        self._step_seconds = time.perf_counter() - self._started

    def cost(self) -> EpochCost:
        """The cost of the epoch until now."""
        return EpochCost(
            seconds=time.perf_counter() - self._started,
            images_per_second=self._num_images / max(self._step_seconds, 1e-9),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS,
            peak_gpu_memory_bytes=(
                torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None
            ),
            view_height_px=self._size and self._size[0],
            view_width_px=self._size and self._size[1],
        )
