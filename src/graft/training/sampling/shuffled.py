"""Every sample once an epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def shuffled(class_counts: np.ndarray) -> Callable[[np.random.Generator], np.ndarray]:
    """Every sample once an epoch, in an order of its own.

    The usual choice, and the right one while no class is rare. There is nothing to set.
    """
    num_samples = len(class_counts)
    return lambda generator: generator.permutation(num_samples)
