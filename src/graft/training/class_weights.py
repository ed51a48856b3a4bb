"""Weights of the classes in a loss, from how often each class occurs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from graft.foundation.errors import GraftError

ENET_CONSTANT = 1.02


def none(counts: np.ndarray) -> np.ndarray:
    """Every class weighs the same.

    The usual start: weights raise the score of rare classes at the price of common ones, and a region loss (`dice`,
    `lovasz`) often does so more gently.
    """
    return np.ones_like(counts)


def inverse(counts: np.ndarray) -> np.ndarray:
    """One over the share of a class: each class counts as much as every other, however rare.

    The strongest of the weightings, and the least stable where a class has few examples. Scaled so that the mean weight
    of a pixel (or image) is one.
    """
    return _scale_to_mean_one(1 / counts, counts)


def effective(counts: np.ndarray) -> np.ndarray:
    """One over the effective number of samples: rare classes as by `inverse`, common ones nearly alike.

    1 / (M (1 - (1 - 1/M) ** n)) for a class of n, with M the mean of n over the classes that occur: Cui et al. 2019,
    "Class-Balanced Loss Based on Effective Number of Samples", equation 2, with beta = (M - 1) / M. Scaled so that the
    mean weight of a pixel (or image) is one.
    """
    prototypes = max(counts.mean(), 2.0)
    return _scale_to_mean_one(-1 / (prototypes * np.expm1(counts * np.log1p(-1 / prototypes))), counts)


def median_frequency(counts: np.ndarray) -> np.ndarray:
    """The median share of a class over its own: the class in the middle weighs one.

    What SegNet and much work on CamVid use. Eigen & Fergus 2015, "Predicting Depth, Surface Normals and Semantic Labels
    with a Common Multi-Scale Convolutional Architecture", section 4.3, with shares over the whole training set.
    """
    return np.median(counts) / counts


def enet(counts: np.ndarray) -> np.ndarray:
    """1 / ln(1.02 + share of the class): bounded, from 1.4 for a class that is everything to 50 for the rarest.

    The bound keeps a class of a handful of pixels from taking over. Paszke et al. 2016, "ENet: A Deep Neural Network
    Architecture for Real-Time Semantic Segmentation", section 5.2.
    """
    return 1 / np.log(ENET_CONSTANT + counts / counts.sum())


# Each takes the counts of the classes that occur, float64, and returns their weights.
CLASS_WEIGHTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": none,
    "inverse": inverse,
    "effective": effective,
    "median_frequency": median_frequency,
    "enet": enet,
}


def class_weights(kind: str, counts: Sequence[int]) -> torch.Tensor | None:
    """Weights of K classes, float32 [K], or None for `none`. A class that does not occur gets zero.

    Args:
        kind: Name in CLASS_WEIGHTS.
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
    weights = np.zeros_like(number)
    weights[there] = CLASS_WEIGHTS[kind](number[there])
    return torch.from_numpy(weights.astype(np.float32))


def _scale_to_mean_one(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Scales the weights so that their mean over all counted pixels (or images) is one."""
    return weights * (counts.sum() / (weights * counts).sum())
