"""Boundary IoU: intersection over union within a narrow band along the outlines."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.value_counts import value_counts
from graft.metrics.confusion import Marginals


@dataclass
class BoundaryIou:
    """Boundary IoU of every class from streaming counts: |(G_d ∩ G) ∩ (P_d ∩ P)| / |(G_d ∩ G) ∪ (P_d ∩ P)|.

    G are the pixels of a class in the truth, P those predicted as it; G_d and P_d are those no farther than d pixels
    from another class, counted along rows and columns alike (Cheng et al. 2021, "Boundary IoU: Improving Object-Centric
    Image Segmentation Evaluation", equation 1, each class as one object). The edge of the image is no outline, nor is
    where known and ignored pixels meet. A class with an outline in neither truth nor prediction has no value.

    Attributes:
        num_classes: Number of classes, K.
        fraction: Distance d as a share of the image's diagonal (at least one pixel); 0.02 in the paper.
        counts: Pixels [3, K]: in both bands, in that of the truth, in that of the prediction.
    """

    num_classes: int
    fraction: float
    counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((3, self.num_classes), np.int64)

    def add(self, class_ids: np.ndarray, mask: np.ndarray) -> None:
        """Counts an image in.

        Args:
            class_ids: Predicted ids, uint8 [H, W].
            mask: True ids, uint8 [H, W], 255 where ignored; predictions there do not count.
        """
        distance = max(1, round(self.fraction * float(np.hypot(*mask.shape))))
        ignored = cv2.compare(mask, IGNORE_INDEX, cv2.CMP_EQ)  # type: ignore[call-overload]  # scalars will do
        class_ids = cv2.bitwise_or(class_ids, ignored)
        truth, predicted = (near_outlines(ids, distance, ignored) for ids in (mask, class_ids))
        both = cv2.bitwise_and(truth, predicted, mask=cv2.compare(mask, class_ids, cv2.CMP_EQ))
        for place, (ids, chosen) in enumerate(((mask, both), (mask, truth), (class_ids, predicted))):
            self.counts[place] += _histogram(ids, chosen)[: self.num_classes]

    @property
    def by_class(self) -> np.ndarray:
        """Boundary IoU [K], NaN where a class has none."""
        return Marginals(*self.counts).iou

    @property
    def mean(self) -> float:
        """The mean over the classes that have one; NaN where none has."""
        return float(Marginals(*self.counts).mean_iou)


def near_outlines(class_ids: np.ndarray, distance_px: int, ignored: np.ndarray) -> np.ndarray:
    """Mask of the pixels with another class within `distance_px` rows and columns: uint8 [H, W], 255 or 0.

    All classes are handled at once: the smallest and the largest id nearby differ. Ignored pixels count as neither.

    Args:
        class_ids: uint8 [H, W], 255 where ignored.
        distance_px: Largest distance that counts as near.
        ignored: Mask of the ignored pixels, uint8 [H, W], 255 or 0.
    """
    window = np.ones((2 * distance_px + 1, 2 * distance_px + 1), np.uint8)
    known = cv2.bitwise_not(ignored)
    differs = cv2.compare(
        cv2.erode(class_ids, window), cv2.dilate(cv2.bitwise_and(class_ids, known), window), cv2.CMP_NE
    )
    return cv2.bitwise_and(differs, known)


def _histogram(class_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Counts of each id 0…254 among the chosen pixels (at 255: all others)."""
    return value_counts(cv2.bitwise_or(class_ids, cv2.bitwise_not(chosen)))
