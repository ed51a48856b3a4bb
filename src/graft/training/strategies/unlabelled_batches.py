"""Batches of unlabelled images: the number of a batch says which images and which views it shows."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graft.data.views.resized import ResizedViews
from graft.data.views.view import Views
from graft.foundation.content import content_seed

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class UnlabelledBatch:
    """A batch of weak views.

    Attributes:
        images: uint8 [B, C, H, W] in channels-last memory.
        inside: bool [B, H, W], whether a pixel lies in the image and not beyond it; [B], always true, to a classifier.
        numbers: Numbers of the samples, int64 [B].
    """

    images: Tensor
    inside: Tensor
    numbers: np.ndarray


class UnlabelledBatches:
    """Weak views in rounds: each shows every image once, in an order of its own, and the next view of it.

    Nothing is remembered, so a training that resumes at any batch sees what it would have seen. A batch is read ahead.

    Args:
        views: Weak views, as augment made them.
        seed: Seed of the whole pipeline.
        batch_size: Number of images in a batch; where there are fewer images, some come twice.
        device: Device of the batches.
    """

    def __init__(self, views: Views, seed: int, batch_size: int, device: torch.device) -> None:
        self.views, self.seed, self.batch_size, self.device = views, seed, batch_size, device
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="graft-unlabelled")
        self._ahead: tuple[tuple[int, tuple[int, int]], Future[Arrays]] | None = None

    def take(self, batch: int, size: tuple[int, int]) -> UnlabelledBatch:
        """The batch with this number (from 0), at this height and width in pixels."""
        key = (batch, size)
        known = self._ahead[1].result() if self._ahead is not None and self._ahead[0] == key else self._read(*key)
        following = (batch + 1, size)
        self._ahead = (following, self._reader.submit(self._read, *following))
        images, targets = (torch.from_numpy(array).to(self.device) for array in known)
        inside = targets == 0 if targets.ndim == 3 else torch.ones_like(targets, dtype=torch.bool)
        return UnlabelledBatch(images.permute(0, 3, 1, 2), inside, self.numbers(batch)[1])

    def numbers(self, batch: int) -> Arrays:
        """The round of each place of a batch, and the number of the sample there."""
        num_samples = self.views.num_samples
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size)
        rounds = places // num_samples
        orders = {
            one: np.random.default_rng(content_seed(self.seed, "unlabelled", int(one))).permutation(num_samples)
            for one in np.unique(rounds)
        }
        return rounds, np.array([orders[one][place % num_samples] for one, place in zip(rounds, places, strict=True)])

    def _read(self, batch: int, size: tuple[int, int]) -> Arrays:
        views = self.views if size == self.views.size else ResizedViews(self.views, size)
        rounds, numbers = self.numbers(batch)
        read = [views.read(numbers[rounds == one], int(one) % views.num_views) for one in np.unique(rounds)]
        images, targets = zip(*read, strict=True)
        return np.concatenate(images), np.concatenate(targets)
