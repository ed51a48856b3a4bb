"""Weights of the classes in a loss, from how often each class occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from graft.errors import GraftError

KINDS = ("none", "inverse", "effective", "median_frequency", "enet")
ENET_CONSTANT = 1.02


def class_weights(kind: str, counts: Sequence[int]) -> torch.Tensor | None:
    """Weights of K classes, float32 [K], or None for `none`.

    With n_c the count of class c, over the C classes that occur and N = sum n_c:
        inverse: N / (C n_c).
        effective: 1 / (M (1 - (1 - 1/M) ** n_c)), the inverse effective number of samples of Cui et al. 2019
            ("Class-Balanced Loss Based on Effective Number of Samples", equation 2, beta = (M - 1) / M) with M = N / C
            prototypes. Rare classes are weighted as by `inverse`; common ones no longer differ.
        median_frequency: median(n) / n_c (Eigen & Fergus 2015, section 4.3, with shares over the whole training set).
        enet: 1 / ln(1.02 + n_c / N) (Paszke et al. 2016, "ENet: A Deep Neural Network Architecture for Real-Time
            Semantic Segmentation", section 5.2): from 1.4 for a class that is everything to 50 for the rarest.
    `inverse` and `effective` are scaled so that the mean weight of a pixel (or image) is one. A class that does
    not occur gets zero.

    Args:
        kind: One of KINDS.
        counts: K counts of pixels (segmentation) or images (classification).

    Raises:
        GraftError: No class occurs at all.
    """
    if kind == "none":
        return None
    number = np.asarray(counts, np.float64)
    there = number > 0
    if not there.any():
        raise GraftError(
            "no training pixel or image belongs to a class",
            rule="class weights need counts",
            remedy="set class_weights: none",
        )
    present = number[there]
    if kind == "median_frequency":
        weights = np.median(present) / present
    elif kind == "enet":
        weights = 1 / np.log(ENET_CONSTANT + present / present.sum())
    else:
        prototypes = max(present.mean(), 2.0)
        effective = present if kind == "inverse" else -prototypes * np.expm1(present * np.log1p(-1 / prototypes))
        weights = 1 / effective
        weights *= present.sum() / (weights * present).sum()
    result = np.zeros_like(number)
    result[there] = weights
    return torch.from_numpy(result.astype(np.float32))
