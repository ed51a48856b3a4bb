"""H-score with a regularised covariance."""

from __future__ import annotations

import numpy as np


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """How far the class means lie apart, measured in the spread of the features, with a shrunk covariance.

    A Fisher criterion without training: cheap, and indifferent to the scale and rotation of the features;

        H = tr(S_a^-1 (1 - a) B),  S_a = (1 - a) S + a tr(S) / D I,

    where S is the covariance of the features, B that of the class means (each as often as its class), and a the
    shrinkage of Ledoit and Wolf (Bao et al. 2019, "An Information-Theoretic Approach to Transferability in Task
    Transfer Learning", the H-score; Ibrahim et al. 2022, "Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance", the shrinkage). At most the number of classes
    less one; without shrinkage, features of more dimensions than samples reach it by chance.

    Args:
        features: `[N, D]`.
        labels: `[N]`.
    """
    centred = np.asarray(features, np.float64)
    centred = centred - centred.mean(axis=0)
    num, width = centred.shape
    covariance = centred.T @ centred / num
    shrinkage = _ledoit_wolf(centred, covariance)
    shrunk = (1 - shrinkage) * covariance
    shrunk[np.diag_indices(width)] += shrinkage * np.trace(covariance) / width
    classes = [centred[labels == label] for label in np.unique(labels)]
    means = np.stack([np.sqrt(len(members) / num) * members.mean(axis=0) for members in classes])
    if shrinkage > 0 and np.trace(covariance) > 0:
        solved = np.linalg.solve(shrunk, means.T)
    else:  # there may be no inverse
        solved = np.linalg.lstsq(shrunk, means.T, rcond=None)[0]
    return float((1 - shrinkage) * np.sum(means.T * solved))


def _ledoit_wolf(centred: np.ndarray, covariance: np.ndarray) -> float:
    """Share of the identity that brings the covariance nearest to the true one in the mean.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", lemmas 3.2 to 3.4:
    the error of the entries over their distance from a multiple of the identity, at most one.
    """
    num, width = centred.shape
    square = float(np.sum(covariance**2))
    distance = square - np.trace(covariance) ** 2 / width
    error = float(np.mean(np.sum(centred**2, axis=1) ** 2) - square) / num
    return 1.0 if distance <= 0 else min(max(error, 0.0) / distance, 1.0)
