"""The cost of a candidate on this machine: parameters, operations, time and memory for one image."""

from __future__ import annotations

import statistics
import time
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from graft.inference.image_to_logits import prepare
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import Model
from graft.models.saved_model import ModelSpec

NUM_WARM_UPS, NUM_RUNS = 2, 9


@dataclass(frozen=True)
class Cost:
    """Cost of one image of the size that training images have.

    Attributes:
        num_parameters: Number of parameters of the whole model.
        operations: Number of floating point operations; a multiplication and an addition count one each.
        latency_ms: Median of a forward pass on this machine.
        memory_bytes: Size of all tensors alive at the worst moment of a forward pass, weights included.
    """

    num_parameters: int
    operations: int
    latency_ms: float
    memory_bytes: int


def cost_of(model: Model, spec: ModelSpec, image: np.ndarray, device: str) -> Cost:
    """Measures the cost of a model as it would be used.

    Args:
        model: Model in evaluation mode; its weights do not matter.
        spec: Form in which it wants its input.
        image: Resized image, uint8 `[H, W, C]`.
        device: Device that it runs on.
    """
    pixels = prepare(image, spec, max_pixels=image.shape[0] * image.shape[1])[None]
    runner = torch_runner(model, spec, device=device)
    seconds = []
    for _ in range(NUM_WARM_UPS + NUM_RUNS):
        start = time.perf_counter()
        runner(pixels)
        seconds.append(time.perf_counter() - start)
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    with LiveBytes() as live:
        runner(pixels)
    with FlopCounterMode(display=False) as counter:
        runner(pixels)
    return Cost(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        operations=int(counter.get_total_flops()),
        latency_ms=1000 * statistics.median(seconds[NUM_WARM_UPS:]),
        memory_bytes=held + live.most,
    )


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that operations make, from when they are made until nothing holds them.

    Attributes:
        now: Number of bytes alive at the moment.
        most: Number of bytes alive at the worst moment so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage(), given)
        return result

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        """Takes a storage in, unless it was there before the operation: a view, or a result in place."""
        if storage.data_ptr() in given or storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.now -= size
