"""NLEEP: LEEP with clusters of the features in the place of source classes."""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
from pydantic import Field

from graft.selection.transferability.leep import leep


def nleep(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    components_per_class: Annotated[int, Field(gt=0)] = 5,
    energy: Annotated[float, Field(gt=0, lt=1)] = 0.8,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> float:
    """LEEP for backbones without a head: a Gaussian mixture of the features takes the place of the source classes.

    Features are reduced to the principal components that hold 80% of their variance; the probabilities of a mixture's
    components are what LEEP reads (Li et al. 2021, "Ranking Neural Checkpoints", the measure N-LEEP). Variances are
    diagonal: full ones have more values than a component has samples.

    Args:
        features: `[N, D]`.
        labels: `[N]`.
        components_per_class: Gaussians for each class that occurs, as in the paper.
        energy: Share of the variance that the principal components keep, as in the paper.
        seed: Seed of the start of the mixture.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    reduced = _principal(np.asarray(features, np.float64), energy)
    num_components = min(components_per_class * len(np.unique(labels)), len(reduced))
    mixture = GaussianMixture(num_components, covariance_type="diag", reg_covar=1e-6, max_iter=50, random_state=seed)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # 50 steps rank as 500 do
        mixture.fit(reduced)
    return leep(mixture.predict_proba(reduced), labels)


def _principal(matrix: np.ndarray, energy: float) -> np.ndarray:
    """The fewest principal components `[N, P]` that hold a share of the variance; one at least."""
    centred = matrix - matrix.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    held = np.cumsum(np.maximum(values[::-1], 0))
    num = int(np.searchsorted(held, energy * held[-1])) + 1
    return centred @ vectors[:, ::-1][:, :num]
