"""Answers of teachers: computed once for each view, kept in unnamed files, and read with the view in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.foundation.progress import progress
from graft.training.features import Column, columns_for


@dataclass(frozen=True)
class Answered:
    """A batch of images, with the teachers' answers to them and the features of each that are kept."""

    images: Tensor
    answers: Tensor
    features: list[Tensor]

    def __len__(self) -> int:
        return len(self.images)


class AnsweredViews(BatchSource):
    """Views with the answers to them; those to a view are computed when it is first asked for.

    They are those to batches of the same size in order of the samples, so that a resumed training reads the same bits.

    Args:
        views: Views as pixels.
        ask: Function from images to the teachers' common answer and the features of each.

    Raises:
        GraftError: There is not enough room on the disk.
    """

    def __init__(self, views: BatchSource, ask: Callable[[Tensor], tuple[Tensor, list[Tensor]]]) -> None:
        self.views, self.ask = views, ask
        self.num_samples, self.num_views = views.num_samples, views.num_views
        self._computed: set[int] = set()
        self._columns: list[Column] = []

    def batches(
        self, order: np.ndarray, view: int, batch_size: int, device: torch.device
    ) -> Iterator[tuple[Answered, Tensor]]:
        """Images with answers, and targets, of one view of the samples `order`; the last batch may be smaller."""
        if view not in self._computed:
            self._compute(view, batch_size, device)
        for number, (images, targets) in enumerate(self.views.batches(order, view, batch_size, device)):
            rows = order[number * batch_size :][: len(images)] * self.num_views + view
            answers, *features = (column.read(rows, device) for column in self._columns)
            yield Answered(images, answers, features), targets

    def _compute(self, view: int, batch_size: int, device: torch.device) -> None:
        order = np.arange(self.num_samples)
        batches = self.views.batches(order, view, batch_size, device)
        total = -(-self.num_samples // batch_size)
        for number, (images, _) in enumerate(progress(batches, "Asking the teachers", total=total, unit="batch")):
            answers, features = self.ask(images)
            tensors = [answers, *features]
            self._columns = self._columns or columns_for(tensors, self.num_samples * self.num_views)
            rows = order[number * batch_size :][: len(images)] * self.num_views + view
            for column, tensor in zip(self._columns, tensors, strict=True):
                column.write(rows, tensor)
        self._computed.add(view)
