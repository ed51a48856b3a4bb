"""Views in whose masks a class has another id, by the sample."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graft.data.views.view import Views


class MarkedViews(Views):
    """The same views, but that a class has another id in the masks of some samples.

    The mark lies in the mask, so that whatever crops, resizes or mixes images moves it along.

    Args:
        views: Views whose targets are masks.
        marked: Id of the class.
        marks: By the id that it has there, which is that of no class, the numbers of the samples.
    """

    def __init__(self, views: Views, marked: int, marks: Mapping[int, np.ndarray]) -> None:
        self.views, self.marked, self.size = views, marked, views.size
        self.ids, self.image_sha256, self.class_counts = views.ids, views.image_sha256, views.class_counts
        self.num_samples, self.num_views, self.remembered = views.num_samples, views.num_views, views.remembered
        self.id_of_sample = np.full(views.num_samples, marked, np.uint8)
        for mark, numbers in marks.items():
            self.id_of_sample[numbers] = mark

    def read(self, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        images, masks = self.views.read(indices, view)
        return images, np.where(masks == self.marked, self.id_of_sample[indices][:, None, None], masks)
