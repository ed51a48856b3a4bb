"""Scoring: rows in, predictions beside the truth out, an image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import (
    Runner,
    confidence_of,
    most_likely_classes,
    predict_batch,
    predict_class_ids,
    predict_confidence,
)
from graft.inference.label_decisions import decide_labels, label_confidence, label_probabilities
from graft.metrics.boundary import BoundaryIou
from graft.metrics.calibration import Calibration, spread_pixels
from graft.metrics.confusion import Marginals, confusion_matrix, json_number
from graft.metrics.label_rankings import LabelMarginals

if TYPE_CHECKING:
    from graft.data.shards import Row
    from graft.inference.embedding import FeatureTap
    from graft.models.saved_model import ModelSpec
    from graft.params.sections import Evaluate, Predict


@dataclass(frozen=True)
class Contender:
    """A model to be scored.

    Attributes:
        runner: Runner from images to logits.
        spec: Spec of the model.
        calibration: Counter of its confidences; None counts none.
        boundary: Counter of its outlines; None counts none.
        tap: Tap of the features behind its predictions; None takes none.
    """

    runner: Runner
    spec: ModelSpec
    calibration: Calibration | None = None
    boundary: BoundaryIou | None = None
    tap: FeatureTap | None = None

    @classmethod
    def with_counters(
        cls, runner: Runner, spec: ModelSpec, evaluate: Evaluate, tap: FeatureTap | None = None
    ) -> Contender:
        """A contender of which everything is counted that `metrics.json` holds."""
        outlines = BoundaryIou(spec.num_classes, evaluate.boundary_fraction) if spec.task == "segmentation" else None
        calibration = None if spec.task == "multilabel" else Calibration(evaluate.calibration_bins)
        return cls(runner, spec, calibration, outlines, tap)

    def findings(self) -> dict[str, Any]:
        """The scores from the counters, for `metrics.json`: `calibration_error`, `classwise_calibration_error`, and for
        segmentation `mean_boundary_iou` and `boundary_iou` by class; None where there is no value.
        """
        found: dict[str, Any] = {}
        if self.calibration:
            found["calibration_error"] = self.calibration.error
            found["classwise_calibration_error"] = self.calibration.classwise_error
        if self.boundary:
            found["mean_boundary_iou"] = json_number(self.boundary.mean)
            values = map(json_number, self.boundary.by_class)
            found["boundary_iou"] = dict(zip(self.spec.class_names, values, strict=True))
        return found


@dataclass(frozen=True)
class Prediction:
    """The prediction of one model for one image.

    Attributes:
        class_ids: uint8 [H, W], or for classification the class, int64 []; for multilabel uint8 [K], one for each class
            that the image is said to have.
        confusion: int64 [K, K] of this image alone; for multilabel [K, 2, 2], rows absent and present in truth.
        score: Mean IoU of this image, or for classification the probability of the true class, for multilabel the mean
            probability of the truth about each class. NaN if the image has no labelled pixel.
        confidence: Probability of the predicted class; for segmentation the mean over the pixels, where there is a tap,
            and for multilabel over the classes.
        features: Embedding of the image, float32 [D], where there is a tap.
        probabilities: Probability of each class, float64 [K], for multilabel.
    """

    class_ids: np.ndarray
    confusion: np.ndarray
    score: float
    confidence: float | None = None
    features: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def marginals(self, truth: np.ndarray) -> Marginals:
        """The marginals of the image, whose targets are `truth`."""
        if self.probabilities is not None:
            return LabelMarginals.of_image(self.probabilities, self.class_ids, truth)
        return Marginals.of(self.confusion)


@dataclass(frozen=True)
class ScoredImage:
    """An image, its truth (mask uint8 [H, W], label int64 [] or labels uint8 [K]), and each contender's prediction."""

    row: Row
    image: np.ndarray
    targets: np.ndarray
    predictions: Mapping[str, Prediction]


def score_rows(
    rows: Iterable[Row], contenders: Mapping[str, Contender], batch_size: int, predict: Predict
) -> Iterator[ScoredImage]:
    """Scores rows as they stream by; never more than a batch of images and logits is held.

    Confidences of an image larger than `predict.max_pixels` are not counted: its logits never exist as a whole.

    Raises:
        GraftError: An image cannot be decoded, or a row has no target or a mask of another size.
    """
    remaining, kind = iter(rows), next(iter(contenders.values())).spec
    while batch := list(islice(remaining, batch_size)):
        images = [decode(row.image, kind, where=row.id) for row in batch]
        targets = [_target(row, image, kind.task) for row, image in zip(batch, images, strict=True)]
        found = {
            name: list(_predictions(contender, images, targets, predict)) for name, contender in contenders.items()
        }
        for place, (row, image, target) in enumerate(zip(batch, images, targets, strict=True)):
            yield ScoredImage(row, image, target, {name: predictions[place] for name, predictions in found.items()})


def _target(row: Row, image: np.ndarray, task: str) -> np.ndarray:
    target = decode_target(row, task)
    if task == "segmentation" and target.shape != image.shape[:2]:
        sizes = f"the mask has {target.shape[1]}×{target.shape[0]} pixels, the image {image.shape[1]}×{image.shape[0]}"
        raise GraftError(sizes, where=row.id, rule="an image and its mask have one size")
    return target


def _predictions(
    contender: Contender,
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    predict: Predict,
) -> Iterator[Prediction]:
    classifies = contender.spec.task != "segmentation"
    whole = [classifies or image.shape[0] * image.shape[1] <= predict.max_pixels for image in images]
    small = [image for image, fits in zip(images, whole, strict=True) if fits]
    logits = _logits(small, contender, predict)
    for image, target, fits in zip(images, targets, whole, strict=True):
        if not fits:
            yield _predict_large(image, target, contender, predict)
        elif contender.spec.task == "multilabel":
            yield _predicted_labels(*next(logits), target, contender)
        elif classifies:
            yield _predicted_image(*next(logits), target, contender)
        else:
            of_pixels, features = next(logits)
            if contender.calibration:
                contender.calibration.add(*spread_pixels(of_pixels, target))
            confidence = None if features is None else float(confidence_of(of_pixels).mean())
            yield _predicted_pixels(most_likely_classes(of_pixels), target, contender, confidence, features)


def _logits(
    images: Sequence[np.ndarray], contender: Contender, predict: Predict
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Logits of each image, and its features where they are tapped."""
    features: dict[int, np.ndarray] = {}

    def keep(indices: Sequence[int]) -> None:
        if contender.tap:
            features.update(zip(indices, contender.tap.take(), strict=True))

    if images:
        found = predict_batch(contender.runner, images, contender.spec, predict, after_pass=keep)
        yield from ((logits, features.get(index)) for index, logits in enumerate(found))


def _predict_large(image: np.ndarray, mask: np.ndarray, contender: Contender, predict: Predict) -> Prediction:
    if contender.tap is None:
        class_ids = predict_class_ids(contender.runner, image, contender.spec, predict)
        return _predicted_pixels(class_ids, mask, contender)
    class_ids, confidence = predict_confidence(contender.runner, image, contender.spec, predict)
    return _predicted_pixels(class_ids, mask, contender, float(confidence.mean()), contender.tap.take()[0])


def _predicted_pixels(
    class_ids: np.ndarray,
    mask: np.ndarray,
    contender: Contender,
    confidence: float | None = None,
    features: np.ndarray | None = None,
) -> Prediction:
    if contender.boundary:
        contender.boundary.add(class_ids, mask)
    confusion = confusion_matrix(class_ids, mask, contender.spec.num_classes)
    return Prediction(class_ids, confusion, float(Marginals.of(confusion).mean_iou), confidence, features)


def _predicted_image(
    logits: np.ndarray, features: np.ndarray | None, label: np.ndarray, contender: Contender
) -> Prediction:
    if contender.calibration:
        contender.calibration.add(logits[:, None], label[None])
    likelihoods = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = likelihoods / likelihoods.sum()
    class_id = most_likely_classes(logits)
    confusion = confusion_matrix(class_id, label, contender.spec.num_classes, ignore_index=None)
    return Prediction(class_id, confusion, float(probabilities[label]), float(probabilities[class_id]), features)


def _predicted_labels(
    logits: np.ndarray, features: np.ndarray | None, labels: np.ndarray, contender: Contender
) -> Prediction:
    found = label_probabilities(logits)
    decided = decide_labels(found, contender.spec.thresholds)
    confusion = np.zeros((len(labels), 2, 2), np.int64)
    confusion[np.arange(len(labels)), labels, decided] = 1
    score = float(np.where(labels, found, 1 - found).mean())
    return Prediction(decided, confusion, score, label_confidence(found, decided), features, found)


class Tally:
    """Counts of a whole split, kept small: one confusion matrix a model, marginals, domain and delivery an image.

    Attributes:
        confusion: int64 [K, K] by contender; for multilabel [K, 2, 2].
        images: Marginals of each image in order, by contender.
        domains: Domain of each image in order.
        deliveries: Delivery of each image in order.
    """

    def __init__(self, contenders: Mapping[str, Contender]) -> None:
        sizes = {name: _confusion_size(contender.spec) for name, contender in contenders.items()}
        self.confusion = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
        self.images: dict[str, list[Marginals]] = {name: [] for name in self.confusion}
        self.domains: list[str] = []
        self.deliveries: list[str] = []

    def add(self, scored: ScoredImage) -> None:
        self.domains.append(scored.row.domain)
        self.deliveries.append(scored.row.batch)
        for name, prediction in scored.predictions.items():
            self.confusion[name] += prediction.confusion
            self.images[name].append(prediction.marginals(scored.targets))


def _confusion_size(spec: ModelSpec) -> tuple[int, ...]:
    return (spec.num_classes, 2, 2) if spec.task == "multilabel" else (spec.num_classes,) * 2
