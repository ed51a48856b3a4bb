"""Scores of how well features suit a task before any training. Each entry is `(evidence, labels, *, options) -> float`.

All are pure functions of arrays, and larger is better. Labels are class ids `[N]`, or for multilabel zeros and ones
`[N, K]`; classes that do not occur are left out. READS names the first argument: features `[N, D]` of a backbone, or
the probabilities `[N, Z]` that a pretrained head gives to the Z classes it knows.
"""

from __future__ import annotations

from graft.selection.transferability.h_score import h_score
from graft.selection.transferability.leep import leep
from graft.selection.transferability.logme import logme
from graft.selection.transferability.nleep import nleep
from graft.selection.transferability.transrate import transrate

__all__ = ["READS", "SCORES", "TASKS"]

SCORES = {
    "logme": logme,
    "h_score": h_score,
    "nleep": nleep,
    "leep": leep,
    "transrate": transrate,
}
# Which tasks each serves: all but one take the most likely class for the answer.
TASKS = dict.fromkeys(SCORES, ("segmentation", "classification")) | {
    "logme": ("segmentation", "classification", "multilabel")
}
READS = {
    "logme": "features",
    "h_score": "features",
    "nleep": "features",
    "leep": "probabilities",
    "transrate": "features",
}
