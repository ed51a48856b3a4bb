"""Bootstrap intervals: the range a score would have on other images of the same kind."""

from __future__ import annotations

import numpy as np

from graft.metrics.confusion import Marginals
from graft.metrics.label_rankings import LabelMarginals, RankedMarginals, average_precision

NUM_DRAWN_AT_ONCE = 4_000_000  # indices held at a time: 32 MB
LEVEL_PERCENT = 95


def resample(images: Marginals, num_samples: int, seed: int) -> Marginals:
    """Marginals of splits made by drawing as many images as there are, with replacement (Efron 1979).

    The same number of images and the same seed draw the same images, so that two models are compared on equal draws.

    Args:
        images: Marginals of each image, arrays [N, K].
        num_samples: Number of splits drawn.
        seed: Seed of the draws.

    Returns:
        Marginals of each drawn split, arrays [num_samples, K]; with average precision where images have several labels.
    """
    num_images, num_classes = images.hits.shape
    counts = np.concatenate([images.hits, images.truth, images.predicted], axis=1).astype(np.float64)
    generator = np.random.default_rng(seed)
    sums = np.empty((num_samples, counts.shape[1]))
    precisions = np.empty((num_samples, num_classes))
    step = max(1, NUM_DRAWN_AT_ONCE // num_images)
    for first in range(0, num_samples, step):
        num_here = min(step, num_samples - first)
        drawn = generator.integers(0, num_images, (num_here, num_images))
        drawn += np.arange(num_here)[:, None] * num_images
        times = np.bincount(drawn.ravel(), minlength=num_here * num_images).reshape(num_here, num_images)
        sums[first : first + num_here] = times @ counts
        if isinstance(images, LabelMarginals):
            drawn_ranks = average_precision(images.probabilities, images.truth, times)
            precisions[first : first + num_here] = drawn_ranks
    hits, truth, predicted = np.split(sums, [num_classes, 2 * num_classes], axis=1)
    if isinstance(images, LabelMarginals):
        return RankedMarginals(hits, truth, predicted, precisions, num_images)
    return Marginals(hits, truth, predicted)


def interval(draws: np.ndarray) -> list[float] | None:
    """The percentile interval that holds 95% of the draws [S]: [low, high]; None where no draw has a value."""
    values = draws[~np.isnan(draws)]
    tail = (100 - LEVEL_PERCENT) / 2
    return [float(end) for end in np.percentile(values, [tail, 100 - tail])] if values.size else None
