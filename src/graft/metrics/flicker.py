"""Flicker of a segmented video: pixels that change class although the image does not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

STILL_WITHIN = 3  # of 255: noise of sensor and coding


@dataclass
class Flicker:
    """Share of still pixels whose class changes from one frame to the next, over all pairs of frames.

    `still_pixels` says which are still. The share is
    Σ |{i still : class_t(i) ≠ class_{t−1}(i)}| / Σ |{i still}|; NaN where no pixel was ever still. A camera that moves
    leaves few still pixels, so `still_fraction` says how much of the video the share speaks of.

    Attributes:
        num_still: Number of still pixels so far.
        num_changed: Number of those that changed class.
        num_pixels: Number of pixels compared.
    """

    num_still: int = 0
    num_changed: int = 0
    num_pixels: int = 0

    def add(self, still: np.ndarray, before: np.ndarray, now: np.ndarray) -> None:
        """Adds a pair of frames: `still_pixels` bool [H, W], and class ids [H, W] of both."""
        self.num_pixels += still.size
        self.num_still += int(np.count_nonzero(still))
        self.num_changed += int(np.count_nonzero(still & (before != now)))

    @property
    def share(self) -> float:
        """Share of still pixels that changed class."""
        return self.num_changed / self.num_still if self.num_still else float("nan")

    @property
    def still_fraction(self) -> float:
        """Share of all compared pixels that were still."""
        return self.num_still / self.num_pixels if self.num_pixels else float("nan")


def still_pixels(before: np.ndarray, now: np.ndarray, within: int = STILL_WITHIN) -> np.ndarray:
    """Where an image does not change: no channel differs by more than `within` from the frame before.

    Args:
        before: uint8 [H, W, 3].
        now: uint8 [H, W, 3].
        within: Largest difference, of 255, that counts as none.

    Returns:
        bool [H, W].
    """
    return cv2.inRange(cv2.absdiff(before, now), (0, 0, 0), (within,) * 3).view(bool)
