"""Views that tell the images of a memory from those of a new delivery, pixel by pixel."""

from __future__ import annotations

import numpy as np

from graft.data.views.view import Views


class MarkedViews(Views):
    """The same views, but that a class has another id in the masks of remembered images.

    The mark lies in the mask, so that whatever crops, resizes or mixes images moves it along.

    Args:
        views: Views whose targets are masks.
        marked: Id of the class.
        mark: Id that it has in remembered images; no class has it.
    """

    def __init__(self, views: Views, marked: int, mark: int) -> None:
        self.views, self.marked, self.mark, self.size = views, marked, mark, views.size
        self.ids, self.image_sha256, self.class_counts = views.ids, views.image_sha256, views.class_counts
        self.num_samples, self.num_views, self.remembered = views.num_samples, views.num_views, views.remembered

    def read(self, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        images, masks = self.views.read(indices, view)
        is_marked = (masks == self.marked) & np.isin(indices, self.remembered)[:, None, None]
        return images, np.where(is_marked, np.uint8(self.mark), masks)
