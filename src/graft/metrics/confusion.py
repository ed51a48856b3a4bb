"""Confusion counts, and the scores that follow from them.

Rows are truth, columns prediction. One matrix over a whole split gives every score of a report, and matrices of parts
add up to the matrix of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.foundation.class_map import IGNORE_INDEX

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor


def confusion_matrix(
    predictions: Array, targets: Array, num_classes: int, *, ignore_index: int | None = IGNORE_INDEX
) -> np.ndarray:
    """Counts how often each class was taken for each: M[t, p] = |{i : targets_i = t, predictions_i = p}|.

    Args:
        predictions: Class ids 0…K-1 of any integer type and any shape; NumPy, or torch on any device.
        targets: Class ids, or `ignore_index` where there is no truth; same shape as `predictions`.
        num_classes: Number of classes, K.
        ignore_index: Value of targets that do not count; None where every id is a class.

    Returns:
        int64 [K, K], rows truth, columns prediction; all zero where every target is ignored.

    Raises:
        ValueError: Shapes differ, or an id is not one of the K classes.
    """
    if tuple(predictions.shape) != tuple(targets.shape):
        raise ValueError(f"predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)} differ in shape")
    num_rows = max(num_classes, -1 if ignore_index is None else ignore_index + 1)
    if isinstance(predictions, np.ndarray) and isinstance(targets, np.ndarray):
        counts = _count_numpy(predictions, targets, num_rows, num_classes)
    else:
        counts = _count_torch(predictions, targets, num_rows, num_classes)
    foreign = counts[num_classes:].sum(axis=1)
    if ignore_index is not None and ignore_index >= num_classes:
        foreign[ignore_index - num_classes] = 0
    elif ignore_index is not None:
        counts[ignore_index] = 0
    if foreign.any():
        raise ValueError(f"targets hold ids that are none of the {num_classes} classes")
    return counts[:num_classes]


def _count_numpy(predictions: np.ndarray, targets: np.ndarray, num_rows: int, num_classes: int) -> np.ndarray:
    if predictions.size == 0:
        return np.zeros((num_rows, num_classes), np.int64)
    _refuse_foreign(
        int(predictions.min()), int(predictions.max()), int(targets.min()), int(targets.max()), num_rows, num_classes
    )
    # 32 bits hold every pair of ids and are a quarter faster to fill than the 64 that bincount reads.
    pairs = targets.astype(np.int32).ravel() * np.int32(num_classes) + predictions.ravel()
    return np.bincount(pairs, minlength=num_rows * num_classes).reshape(num_rows, num_classes)


def _count_torch(predictions: Any, targets: Any, num_rows: int, num_classes: int) -> np.ndarray:
    import torch

    predictions, targets = torch.as_tensor(predictions), torch.as_tensor(targets)
    if predictions.numel() == 0:
        return np.zeros((num_rows, num_classes), np.int64)
    (first, last), (first_target, last_target) = (map(int, torch.aminmax(ids)) for ids in (predictions, targets))
    _refuse_foreign(first, last, first_target, last_target, num_rows, num_classes)
    pairs = targets.reshape(-1).long() * num_classes + predictions.reshape(-1).to(targets.device)
    return torch.bincount(pairs, minlength=num_rows * num_classes).cpu().numpy().reshape(num_rows, num_classes)


def _refuse_foreign(
    first_prediction: int, last_prediction: int, first_target: int, last_target: int, num_rows: int, num_classes: int
) -> None:
    if first_prediction < 0 or last_prediction >= num_classes:
        raise ValueError(f"predictions hold ids that are none of the {num_classes} classes")
    if first_target < 0 or last_target >= num_rows:
        raise ValueError(f"targets hold ids that are none of the {num_classes} classes")


@dataclass(frozen=True)
class Marginals:
    """Marginals of confusion matrices, from which all scores follow; any number of matrices at once.

    Attributes:
        hits: Diagonals [..., K].
        truth: Row sums [..., K], how often each class is true.
        predicted: Column sums [..., K], how often each class is predicted.
    """

    hits: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, confusion: np.ndarray) -> Marginals:
        """From confusion matrices [..., K, K]."""
        hits = np.diagonal(confusion, axis1=-2, axis2=-1).copy()  # a view would keep the matrix of every image
        return cls(hits, confusion.sum(axis=-1), confusion.sum(axis=-2))

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union TP / (TP + FP + FN) of each class [..., K]; NaN in neither truth nor prediction."""
        return _ratio(self.hits, self.truth + self.predicted - self.hits)

    @property
    def dice(self) -> np.ndarray:
        """Dice coefficient, also F1: 2 TP / (2 TP + FP + FN) [..., K]; NaN in neither truth nor prediction."""
        return _ratio(2 * self.hits, self.truth + self.predicted)

    @property
    def precision(self) -> np.ndarray:
        """TP / (TP + FP) [..., K]; NaN where the class is never predicted."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """TP / (TP + FN) [..., K]; NaN where the class is never true."""
        return _ratio(self.hits, self.truth)

    @property
    def true_share(self) -> np.ndarray:
        """Share of all pixels, or images, that is each class [..., K]; NaN where there are none."""
        return _ratio(self.truth, np.broadcast_to(self.truth.sum(axis=-1, keepdims=True), self.truth.shape))

    @property
    def predicted_share(self) -> np.ndarray:
        """Share of all pixels, or images, that is predicted as each class [..., K]; NaN where there are none."""
        whole = self.predicted.sum(axis=-1, keepdims=True)
        return _ratio(self.predicted, np.broadcast_to(whole, self.predicted.shape))

    @property
    def mean_iou(self) -> np.ndarray:
        """Mean of `iou` over the classes in truth or prediction [...]; NaN where there are none."""
        return mean_of_defined(self.iou)

    @property
    def macro_f1(self) -> np.ndarray:
        """Mean of `dice` over the classes in truth or prediction [...]; NaN where there are none."""
        return mean_of_defined(self.dice)

    @property
    def micro_f1(self) -> np.ndarray:
        """F1 of all classes counted together: 2 sum TP / (sum truth + sum predicted) [...]; NaN without any."""
        return _ratio(2 * self.hits.sum(axis=-1), self.truth.sum(axis=-1) + self.predicted.sum(axis=-1))

    @property
    def accuracy(self) -> np.ndarray:
        """Share of pixels, or images, whose class is right [...]; NaN where there are none."""
        return _ratio(self.hits.sum(axis=-1), self.truth.sum(axis=-1))

    @property
    def frequency_weighted_iou(self) -> np.ndarray:
        """Sum over classes of (share of truth) times IoU [...]; Long et al. 2015, section 4; NaN without truth."""
        weighted = (self.truth * np.nan_to_num(self.iou)).sum(axis=-1)
        return _ratio(weighted, self.truth.sum(axis=-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    undefined = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=np.asarray(whole) > 0)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of what is not NaN; NaN where all is."""
    present = ~np.isnan(values)
    return _ratio(np.where(present, values, 0).sum(axis=-1), present.sum(axis=-1))


# By task: name of a score in a report -> its attribute of `Marginals`. The first is the one models are chosen by.
HEADLINES: Mapping[str, Mapping[str, str]] = {
    "segmentation": {
        "mean_iou": "mean_iou",
        "pixel_accuracy": "accuracy",
        "frequency_weighted_iou": "frequency_weighted_iou",
    },
    "classification": {"accuracy": "accuracy", "macro_f1": "macro_f1"},
    "multilabel": {  # of `RankedMarginals`
        "mean_average_precision": "mean_average_precision",
        "macro_f1": "macro_f1",
        "micro_f1": "micro_f1",
    },
}
HEADLINE: Mapping[str, str] = {task: next(iter(names)) for task, names in HEADLINES.items()}


BY_CLASS = ("iou", "dice", "precision", "recall")


def scores(confusion: np.ndarray) -> dict[str, Any]:
    """Every score of one confusion matrix, as fractions of one.

    Args:
        confusion: int64 [K, K], rows truth, columns prediction.

    Returns:
        `mean_iou`, `pixel_accuracy`, `frequency_weighted_iou`, `accuracy`, `macro_f1`: a float, or None where the
        matrix is all zero; `iou`, `dice`, `precision`, `recall`: lists of K, None for a class whose score is
        undefined (see `Marginals`).
    """
    marginals = Marginals.of(confusion)
    of_matrices = (names for task, names in HEADLINES.items() if task != "multilabel")
    single = {name: attribute for names in of_matrices for name, attribute in names.items()}
    by_class = {name: [json_number(value) for value in getattr(marginals, name)] for name in BY_CLASS}
    return {name: json_number(getattr(marginals, attribute)) for name, attribute in single.items()} | by_class


def json_number(value: Any) -> float | None:
    """A float for JSON: None where it is NaN."""
    return None if np.isnan(value) else float(value)
