"""LEEP: what the source head's own predictions say about the target's labels."""

from __future__ import annotations

import numpy as np


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Log expected empirical prediction: the target's labels guessed from what the source head sees.

    Where a pretrained head comes along it is the cheapest score, and it judges head and backbone together:

        LEEP = 1/N sum_i ln sum_z P(y_i | z) p_i(z),  P(y | z) = sum_(i: y_i = y) p_i(z) / sum_i p_i(z)

    (Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations", the
    definition of LEEP). At most 0.

    Args:
        probabilities: p `[N, Z]`, of the Z source classes.
        labels: `[N]`.
    """
    known = np.asarray(probabilities, np.float64)
    _, targets = np.unique(labels, return_inverse=True)
    joint = np.zeros((targets.max() + 1, known.shape[1]))
    np.add.at(joint, targets, known)
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    expected = np.sum(known * conditional[targets], axis=1)
    return float(np.mean(np.log(np.maximum(expected, np.finfo(np.float64).tiny))))
