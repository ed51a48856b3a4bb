"""Which samples an epoch sees, and in which order.

Each entry is `(class_counts, *, options) -> Sampling`: `class_counts` is int64 [N, K], pixels of each class in each
training sample (one-hot for classification); a `Sampling` makes the order of an epoch, int64 [N], out of a generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graft.sampling.shuffled import shuffled

Sampling = Callable[[np.random.Generator], np.ndarray]

SAMPLINGS = {
    "shuffled": shuffled,
}

__all__ = ["SAMPLINGS", "Sampling", "shuffled"]
