"""Batches of training views on the device that trains, read ahead by one thread."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from graft.data.views.view import Views

BATCHES_AHEAD = 3


def batches(
    views: Views, order: np.ndarray, view: int, batch_size: int, *, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields the view `view` of the samples `order`, in that order, in batches; the last may be smaller.

    While one batch is used, the next are read (or made) by a thread; CUDA copies run beside the computation.

    Args:
        views: From `graft.data.views.view.open_views`.
        order: int [N], sample numbers.
        view: Which view, 0 to num_views - 1.
        batch_size: Samples a batch.
        device: Device of the tensors.

    Yields:
        Images uint8 [B, C, H, W] in channels-last memory; targets int64, masks [B, H, W] or labels [B].
    """
    reader = ThreadPoolExecutor(1, thread_name_prefix="graft-batches")

    def read(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = map(torch.from_numpy, views.read(order[start : start + batch_size], view))
        return (images.pin_memory(), targets.pin_memory()) if device.type == "cuda" else (images, targets)

    waiting: collections.deque[Future[tuple[torch.Tensor, torch.Tensor]]] = collections.deque()
    try:
        for start in range(0, len(order), batch_size):
            waiting.append(reader.submit(read, start))
            if len(waiting) > BATCHES_AHEAD:
                yield _on(device, *waiting.popleft().result())
        while waiting:
            yield _on(device, *waiting.popleft().result())
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def _on(device: torch.device, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    is_pinned = device.type == "cuda"  # elsewhere a copy that nobody waits for may read memory already used again
    images = images.to(device, non_blocking=is_pinned).permute(0, 3, 1, 2)  # NHWC memory is what channels-last means
    return images, targets.to(device, non_blocking=is_pinned).long()
