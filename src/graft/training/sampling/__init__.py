"""Sampling: which samples an epoch sees, and in which order.

Each entry is `(class_counts, *, options) -> Sampling`: `class_counts` is int64 [N, K], pixels of each class in each
training sample (one-hot for classification); a `Sampling` makes the order of an epoch, int64 [N], out of a generator.
`TASKS` names the tasks that each entry serves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graft.training.sampling.balanced import balanced
from graft.training.sampling.rare_class import rare_class
from graft.training.sampling.shuffled import shuffled

Sampling = Callable[[np.random.Generator], np.ndarray]

SAMPLINGS: dict[str, Callable[..., Sampling]] = {
    "balanced": balanced,
    "rare_class": rare_class,
    "shuffled": shuffled,
}
TASKS = {
    "balanced": ("segmentation", "classification"),
    "rare_class": ("segmentation",),
    "shuffled": ("segmentation", "classification", "multilabel"),
}

__all__ = ["SAMPLINGS", "TASKS", "Sampling"]
