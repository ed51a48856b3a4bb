"""TransRate: the coding rate of all features less that of each class."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field


def transrate(features: np.ndarray, labels: np.ndarray, *, epsilon: Annotated[float, Field(gt=0)] = 1e-4) -> float:
    """How many nats it takes to write all features down, less what the features of each class take by themselves.

    Estimates the mutual information of features and labels: high where the features are rich and each class is
    compact;

        T = R(Z) - sum_c n_c / n R(Z_c),  R(Z) = 1/2 ln det(I + Z'Z / (n epsilon)),

    Z centred over all samples (Huang et al. 2022, "Frustratingly Easy Transferability Estimation", and its
    epsilon). A rate depends on the unit of the features, so here they are scaled to a covariance of trace one first:
    otherwise a network that merely multiplied its features by ten would be preferred.

    Args:
        features: `[N, D]`.
        labels: `[N]`.
        epsilon: Squared distortion that the code may have.
    """
    centred = np.asarray(features, np.float64)
    centred = centred - centred.mean(axis=0)
    centred /= max(np.sqrt(np.mean(np.sum(centred**2, axis=1))), np.finfo(np.float64).tiny)
    of_classes = [centred[labels == label] for label in np.unique(labels)]
    within = sum(len(members) / len(centred) * _coding_rate(members, epsilon) for members in of_classes)
    return float(_coding_rate(centred, epsilon) - within)


def _coding_rate(samples: np.ndarray, epsilon: float) -> float:
    """R of samples `[n, D]`; of the two Gram matrices, which have one determinant, the smaller is taken."""
    gram = samples @ samples.T if samples.shape[1] > len(samples) else samples.T @ samples
    return 0.5 * float(np.linalg.slogdet(np.eye(len(gram)) + gram / (len(samples) * epsilon))[1])
