"""Which samples hold which class."""

from __future__ import annotations

import numpy as np

from graft.foundation.errors import GraftError


def samples_by_class(class_counts: np.ndarray, min_pixels: int = 1) -> dict[int, np.ndarray]:
    """For each class that any sample holds, the samples that hold at least `min_pixels` of it.

    Where no sample holds so many, those that hold any: else the rarest class would never be drawn.

    Args:
        class_counts: int64 [N, K], pixels of each class in each sample (one-hot for classification).
        min_pixels: At least 1.

    Returns:
        Sample numbers, int64 and not empty, by class id, in order of class.

    Raises:
        GraftError: No sample holds any class.
    """
    held = [k for k in range(class_counts.shape[1]) if class_counts[:, k].any()]
    if not held:
        raise GraftError(
            "no training sample holds a labelled pixel",
            where="fine_tune.sampling",
            rule="classes are drawn in proportion to what the training masks hold",
            remedy="label some training images, or set fine_tune.sampling: shuffled",
        )
    enough = {k: np.flatnonzero(class_counts[:, k] >= min_pixels) for k in held}
    return {k: samples if len(samples) else np.flatnonzero(class_counts[:, k]) for k, samples in enough.items()}
