"""All pixels of each class of a mask, as labelling tools with a brush keep them: none is lost, and no corner drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """The pixels of one class.

    Attributes:
        class_id: The class.
        left: Column of the leftmost.
        top: Row of the topmost.
        pixels: Which pixels of the smallest box around them are of the class, bool [h, w].
    """

    class_id: int
    left: int
    top: int
    pixels: np.ndarray

    def on(self, height: int, width: int) -> np.ndarray:
        """The pixels in an image of this size, bool [height, width]."""
        whole, (num_rows, num_columns) = np.zeros((height, width), bool), self.pixels.shape
        whole[self.top : self.top + num_rows, self.left : self.left + num_columns] = self.pixels
        return whole


def regions_of(mask: np.ndarray, class_ids: Sequence[int]) -> list[Region]:
    """The pixels of those of these classes that a mask, uint8 [H, W], shows."""
    found = []
    for id in class_ids:
        rows, columns = np.nonzero(mask == id)
        if len(rows):
            top, left = int(rows.min()), int(columns.min())
            box = mask[top : rows.max() + 1, left : columns.max() + 1]
            found.append(Region(id, left, top, box == id))
    return found


def encode_runs(pixels: np.ndarray) -> list[int]:
    """The lengths of runs, row after row, of False and True in turn; the first is 0 where it begins with True."""
    flat = pixels.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(ends, prepend=0, append=flat.size).tolist()
    return [0, *lengths] if flat[0] else lengths
