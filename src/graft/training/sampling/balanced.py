"""Every class equally often."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graft.training.sampling.presence import samples_by_class


def balanced(class_counts: np.ndarray) -> Callable[[np.random.Generator], np.ndarray]:
    """Every class equally often, however many samples it has.

    Helps where some classes have many more samples than others and all matter as much. An epoch is as long as the
    training split; its draws are divided evenly over the classes, and within a class every sample comes once before
    one comes again, so a rare class repeats its samples and a frequent one shows a part of them. For segmentation a
    sample counts for each class that it holds, however little of it; samples without a labelled pixel never come.

    Args:
        class_counts: int64 [N, K].

    Raises:
        GraftError: No sample holds any class.
    """
    members = list(samples_by_class(class_counts).values())
    num_samples = len(class_counts)

    def order(generator: np.random.Generator) -> np.ndarray:
        quotas = np.full(len(members), num_samples // len(members))
        quotas[generator.permutation(len(members))[: num_samples % len(members)]] += 1
        drawn = [_rounds(samples, quota, generator) for samples, quota in zip(members, quotas, strict=True)]
        return generator.permutation(np.concatenate(drawn))

    return order


def _rounds(samples: np.ndarray, num_draws: int, generator: np.random.Generator) -> np.ndarray:
    num_rounds = -(-num_draws // len(samples))
    rounds = [generator.permutation(samples) for _ in range(num_rounds)]
    return np.concatenate([*rounds, samples[:0]])[:num_draws]
