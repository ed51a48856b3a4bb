"""LogME: the evidence of linear models on the features."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field


def logme(features: np.ndarray, labels: np.ndarray, *, max_iterations: Annotated[int, Field(gt=0)] = 200) -> float:
    """Logarithm of maximum evidence: how likely the labels are under the best Bayesian linear model on the features.

    The first choice: it punishes features that fit by chance, and needs no training. For each class the targets
    y in {0, 1} (one against the rest) follow N(F w, 1 / beta) with weights w of N(0, 1 / alpha), and

        L(alpha, beta) = n/2 ln beta + D/2 ln alpha - n/2 ln 2 pi - beta/2 |F m - y|^2 - alpha/2 |m|^2 - 1/2 ln |A|,
        A = alpha I + beta F'F,  m = beta A^-1 F'y

    is maximised over alpha and beta by MacKay's fixed point; the score is the mean of max L / n over the classes that
    occur (You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", equation 2 and
    algorithm 1). One decomposition of F'F serves all classes.

    Args:
        features: `[N, D]`.
        labels: `[N]`, or zeros and ones `[N, K]` where an image may have several.
        max_iterations: Largest number of iterations of the fixed point, for each class.
    """
    matrix = np.asarray(features, np.float64)
    is_wide = matrix.shape[1] > matrix.shape[0]
    values, vectors = np.linalg.eigh(matrix @ matrix.T if is_wide else matrix.T @ matrix)
    kept = values > max(matrix.shape) * np.finfo(np.float64).eps * max(values[-1], np.finfo(np.float64).tiny)
    values, vectors = values[kept], vectors[:, kept]
    basis = vectors if is_wide else matrix @ vectors / np.sqrt(values)
    evidences = [
        _largest_evidence(values, basis.T @ target, float(target.sum()), len(target), max_iterations)
        for target in _targets(labels)
    ]
    return float(np.mean(evidences)) / len(matrix)


def _targets(labels: np.ndarray) -> list[np.ndarray]:
    """The targets of the classes that occur, zeros and ones, float64 `[N]` each."""
    if labels.ndim == 2:
        return [column.astype(np.float64) for column in labels.T if column.any()]
    return [np.asarray(labels == label, np.float64) for label in np.unique(labels)]


def _largest_evidence(values: np.ndarray, projected: np.ndarray, square: float, num: int, max_iterations: int) -> float:
    """The evidence of one class at its fixed point; directions without variance cancel out of it.

    Args:
        values: Eigenvalues of F'F, `[R]`, positive.
        projected: The target in the basis of left singular vectors, `[R]`.
        square: Squared length of the target.
        num: N.
        max_iterations: Largest number of steps.
    """
    outside = max(square - float(projected @ projected), 0.0)
    alpha, beta, found = 1.0, 1.0, -np.inf
    for _ in range(max_iterations):
        shrunk = alpha + beta * values
        length = float(np.sum(values * (beta * projected / shrunk) ** 2))
        error = float(np.sum((alpha * projected / shrunk) ** 2)) + outside
        evidence = 0.5 * (
            num * np.log(beta / (2 * np.pi))
            - beta * error
            - alpha * length
            - float(np.sum(np.log1p(beta / alpha * values)))
        )
        if abs(evidence - found) <= 1e-9 * num:
            break
        found = evidence
        gamma = float(np.sum(beta * values / shrunk))
        # Targets that the features explain fully, or not at all, have their maximum at infinity.
        alpha = min(gamma / max(length, 1e-12), 1e12)
        beta = min((num - gamma) / max(error, 1e-12 * num), 1e12)
    return float(evidence)
