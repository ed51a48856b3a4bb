"""Validation: the val images, scored after an epoch exactly as evaluate scores the test images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.data.shards import Row, num_rows, read_rows
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import Runner, most_likely_classes, predict_batch
from graft.inference.label_decisions import label_probabilities
from graft.metrics.confusion import HEADLINE, Marginals, confusion_matrix, json_number, mean_of_defined, scores
from graft.metrics.label_rankings import average_precision
from graft.metrics.label_thresholds import best_thresholds
from graft.training.losses import WeightedSum
from graft.training.state import ValidationResult

if TYPE_CHECKING:
    from graft.models.saved_model import ModelSpec
    from graft.params.sections import Predict


def prediction_histogram(confusion: np.ndarray, names: Sequence[str], *, width: int = 30) -> list[str]:
    """Two lines for each class, each with a bar: its share of the predictions and its share of the truth.

    Args:
        confusion: int64 [K, K], rows truth, columns prediction.
        names: The K classes.
        width: Length in characters of a bar for a share of 100%.
    """
    longest, marginals = max(map(len, names)), Marginals.of(confusion)
    lines = []
    for name, predicted, true in zip(names, marginals.predicted_share, marginals.true_share, strict=True):
        for label, kind, share in ((name, "predicted", predicted), ("", "true", true)):
            bar = "" if np.isnan(share) else "█" * int(np.ceil(share * width))
            amount = "    —" if np.isnan(share) else f"{share:6.1%}"
            lines.append(f"{label:<{longest}}  {kind:<9} {amount} {bar}".rstrip())
    return lines


# Decoded val rows up to this stay in memory for the whole run; more are decoded again each epoch.
CACHE_BYTES = 1 << 30
# All of val predicted as one class, which is not all of the truth: the model has collapsed.
COLLAPSED_FRACTION, WHOLE_TRUTH_FRACTION = 0.995, 0.95
MOST_CLASSES_SHOWN = 12

Decoded = tuple[np.ndarray, np.ndarray]


@dataclass
class Validation:
    """Scores a model on the images of the val split.

    Attributes:
        folder: Folder of the shards.
        spec: Rules by which an image becomes the model's input.
        loss: Loss of the training, on the CPU; val_loss is its mean over images, at each image's own size.
        batch_size: Largest number of images of one size that run together.
        predict: Rules by which large images are tiled, the same as in evaluate.
    """

    folder: Path
    spec: ModelSpec
    loss: WeightedSum
    batch_size: int
    predict: Predict

    def __post_init__(self) -> None:
        self.image_sha256: list[str] = []
        self._cache: list[Decoded] | None = []
        size = 0
        for row in progress(read_rows(self.folder), "Reading val images", total=num_rows(self.folder), unit="image"):
            self.image_sha256.append(row.image_sha256)
            if self._cache is not None:
                decoded = self._decode(row)
                self._cache.append(decoded)
                size += decoded[0].nbytes + decoded[1].nbytes
                self._cache = self._cache if size <= CACHE_BYTES else None
        if not self.image_sha256:
            raise GraftError(
                "there are no val images",
                where=self.folder,
                rule="the best epoch is chosen on val",
                remedy="give ingest.source val images, or a val_fraction",
            )

    def __len__(self) -> int:
        return len(self.image_sha256)

    def score(self, runner: Runner, tick: Callable[[int], None]) -> ValidationResult:
        """Loss, score and collapse of a model.

        Args:
            runner: The model.
            tick: Called with the number of images scored.
        """
        if self.spec.task == "multilabel":
            return self._score_labels(runner, tick)
        num_classes = self.spec.num_classes
        confusion = np.zeros((num_classes, num_classes), np.int64)
        ignored = {} if self.spec.task == "segmentation" else {"ignore_index": None}
        losses: list[float] = []
        for images, targets in self._batches():
            predicted = predict_batch(runner, images, self.spec, self.predict)
            for logits, target in zip(predicted, targets, strict=True):
                losses.append(self._loss(logits, target))
                confusion += confusion_matrix(most_likely_classes(logits), target, num_classes, **ignored)
            tick(len(images))
        score = scores(confusion)[HEADLINE[self.spec.task]]
        return ValidationResult(
            math.fsum(losses) / len(losses), float(score or 0.0), collapsed_class(confusion), confusion
        )

    def _score_labels(self, runner: Runner, tick: Callable[[int], None]) -> ValidationResult:
        """Loss, mean average precision, and the thresholds of the classes that suit these images best."""
        losses: list[float] = []
        found: list[np.ndarray] = []
        truth: list[np.ndarray] = []
        for images, targets in self._batches():
            predicted = predict_batch(runner, images, self.spec, self.predict)
            losses += [self._loss(logits, target) for logits, target in zip(predicted, targets, strict=True)]
            found += [label_probabilities(logits) for logits in predicted]
            truth += targets
            tick(len(images))
        probabilities, labels = np.stack(found), np.stack(truth)
        score = mean_of_defined(average_precision(probabilities, labels))
        thresholds = best_thresholds(probabilities, labels)
        return ValidationResult(math.fsum(losses) / len(losses), json_number(score) or 0.0, None, None, thresholds)

    def _loss(self, logits: np.ndarray, target: np.ndarray) -> float:
        tensor = torch.from_numpy(np.ascontiguousarray(logits))[None]
        return float(self.loss(tensor, torch.from_numpy(target.astype(np.int64))[None]))

    def _batches(self) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
        rows = iter(self._cache if self._cache is not None else map(self._decode, read_rows(self.folder)))
        while chunk := list(islice(rows, self.batch_size)):
            yield [image for image, _ in chunk], [target for _, target in chunk]

    def _decode(self, row: Row) -> Decoded:
        image = decode(row.image, self.spec, where=row.id)
        return image, decode_target(row, self.spec.task)


def collapsed_class(confusion: np.ndarray) -> int | None:
    """The class that nearly everything is predicted as although the truth is mixed, or None.

    Args:
        confusion: int64 [K, K], rows truth, columns prediction.
    """
    total = max(int(confusion.sum()), 1)
    predicted, truth = confusion.sum(0) / total, confusion.sum(1) / total
    if predicted.max() >= COLLAPSED_FRACTION and truth.max() < WHOLE_TRUTH_FRACTION:
        return int(predicted.argmax())
    return None


def collapse_warning(confusion: np.ndarray, names: Sequence[str]) -> str:
    """The warning about a model that predicts one class for everything, with a histogram of predictions and truth.

    Args:
        confusion: int64 [K, K], rows truth, columns prediction.
        names: The K classes; of more than a dozen, those with the largest shares of predictions or truth are shown.
    """
    lines = prediction_histogram(confusion, names)
    largest = np.argsort(-np.maximum(confusion.sum(0), confusion.sum(1)), kind="stable")[:MOST_CLASSES_SHOWN]
    shown = [line for number in sorted(largest) for line in lines[2 * number : 2 * number + 2]]
    name = names[confusion.sum(0).argmax()]
    warning = (
        f"the model predicts {name} for all of val: it has collapsed to one class. Lower "
        "fine_tune.learning_rate (graft find-rate suggests one), train longer, or set "
        "fine_tune.class_weights: median_frequency."
    )
    return "\n".join([warning, *shown])
