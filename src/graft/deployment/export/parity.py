"""Proof that the exported model is the original: logits, decisions and scores on real images and at odd sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.data.shards import Row, num_rows, read_rows
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import Preparation, Runner, most_likely_classes, padding, predict_logits
from graft.inference.label_decisions import decide_labels, label_probabilities
from graft.metrics.confusion import HEADLINE, confusion_matrix, json_number, mean_of_defined, scores
from graft.metrics.label_rankings import average_precision

if TYPE_CHECKING:
    from graft.params.sections import Export, Predict

# Height and width before padding.
ODD_SIZES = ((33, 65), (224, 288), (95, 47))


class LabelParity:
    """Differences of two runners over images with several labels: logits, their sigmoid, decisions and scores."""

    def __init__(self, thresholds: Sequence[float]) -> None:
        self.thresholds = thresholds
        self.max_logit_difference = self.max_probability_difference = 0.0
        self.found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self.truth: list[np.ndarray] = []

    def add(self, original: np.ndarray, exported: np.ndarray, targets: np.ndarray) -> None:
        """Counts in the logits [K] of both and the labels, uint8 [K]."""
        both = [label_probabilities(logits) for logits in (original, exported)]
        self.max_logit_difference = max(self.max_logit_difference, largest_difference(original, exported))
        self.max_probability_difference = max(self.max_probability_difference, largest_difference(*both))
        for kept, probabilities in zip(self.found, both, strict=True):
            kept.append(probabilities)
        self.truth.append(targets)

    def as_dict(self) -> dict[str, Any]:
        """Differences and both scores, as `parity.json` holds them."""
        before, after = (decide_labels(np.stack(found), self.thresholds) for found in self.found)
        both = ({HEADLINE["multilabel"]: json_number(mean_of_defined(each))} for each in self._precisions())
        return {
            "equal_fraction": float((before == after).mean()),
            "max_logit_difference": self.max_logit_difference,
            "max_probability_difference": self.max_probability_difference,
            **score_difference("multilabel", *both),
        }

    def worst_class(self, names: Sequence[str]) -> dict[str, Any]:
        """The class whose average precision falls most, and by how much; None where no class has one."""
        before, after = self._precisions()
        falls = {name: one - other for name, one, other in zip(names, before, after, strict=True) if one == one}
        worst = max(falls, key=lambda name: falls[name], default=None)
        return {"worst_class": worst, "worst_class_difference": None if worst is None else float(falls[worst])}

    def _precisions(self) -> list[np.ndarray]:
        return [average_precision(np.stack(found), np.stack(self.truth)) for found in self.found]


@dataclass
class Parity:
    """Differences of two runners over the images added so far."""

    num_classes: int
    task: str
    max_logit_difference: float = 0.0
    num_decisions: int = 0
    num_equal: int = 0

    def __post_init__(self) -> None:
        self.confusions = np.zeros((2, self.num_classes, self.num_classes), np.int64)

    def add(self, original: np.ndarray, exported: np.ndarray, targets: np.ndarray) -> None:
        """Counts in the logits [K, H, W] or [K] of both and the truth, uint8 [H, W] or int64 []."""
        self.max_logit_difference = max(self.max_logit_difference, largest_difference(original, exported))
        ids = [most_likely_classes(logits) for logits in (original, exported)]
        self.num_decisions += ids[0].size
        self.num_equal += int(np.count_nonzero(ids[0] == ids[1]))
        for confusion, found in zip(self.confusions, ids, strict=True):
            confusion += _count(found, targets, self.num_classes, self.task)

    def as_dict(self) -> dict[str, Any]:
        """Differences and both scores, as `parity.json` holds them."""
        return {
            "equal_fraction": self.num_equal / self.num_decisions,
            "max_logit_difference": self.max_logit_difference,
            **score_difference(self.task, *map(scores, self.confusions)),
        }

    def worst_class(self, names: Sequence[str]) -> dict[str, Any]:
        """The class whose IoU (recall) falls most, and by how much; None where no class has one."""
        score = "iou" if self.task == "segmentation" else "recall"
        pairs = zip(names, *(scores(confusion)[score] for confusion in self.confusions), strict=True)
        falls = {name: before - (after or 0.0) for name, before, after in pairs if before is not None}
        worst = max(falls, key=lambda name: falls[name], default=None)
        return {"worst_class": worst, "worst_class_difference": None if worst is None else falls[worst]}


def compare(
    original: Runner, exported: Runner, spec: Preparation, images: Path, num_classes: int, limit: int, predict: Predict
) -> dict[str, Any]:
    """Compares two runners on `limit` images, evenly spread over a split, each at its own size.

    Returns:
        What `Parity.as_dict` gives, with `images` (their ids).

    Raises:
        GraftError: The split is empty or cannot be read.
    """
    rows = spread_rows(images, limit)
    shown = progress(rows, "Comparing the exported model with the original", unit="image")
    found = _compare_rows(original, {"onnx": exported}, spec, shown, num_classes, predict)
    return {**found["onnx"].as_dict(), "images": [row.id for row in rows]}


def compare_split(
    original: Runner,
    exported: Mapping[str, Runner],
    spec: Preparation,
    images: Path,
    names: Sequence[str],
    predict: Predict,
) -> dict[str, dict[str, Any]]:
    """Compares each of several runners with the original on all images of a split.

    Returns:
        What `Parity.as_dict` and `Parity.worst_class` give, with `num_images`, by name.

    Raises:
        GraftError: The split cannot be read.
    """
    total = num_rows(images)
    rows = progress(read_rows(images), "Comparing the targets with the original", total=total, unit="image")
    found = _compare_rows(original, exported, spec, rows, len(names), predict)
    return {
        name: {**parity.as_dict(), **parity.worst_class(names), "num_images": total} for name, parity in found.items()
    }


def _compare_rows(
    original: Runner,
    exported: Mapping[str, Runner],
    spec: Preparation,
    rows: Iterable[Row],
    num_classes: int,
    predict: Predict,
) -> dict[str, Parity | LabelParity]:
    found = {name: _parity_of(spec, num_classes) for name in exported}
    for row in rows:
        image, target = decode(row.image, spec, where=row.id), decode_target(row, spec.task)
        expected = predict_logits(original, image, spec, predict)
        for name, runner in exported.items():
            found[name].add(expected, predict_logits(runner, image, spec, predict), target)
    return found


def _parity_of(spec: Preparation, num_classes: int) -> Parity | LabelParity:
    return LabelParity(spec.thresholds) if spec.task == "multilabel" else Parity(num_classes, spec.task)


def score_on(runner: Runner, images: Path, spec: Preparation, num_classes: int, predict: Predict) -> float:
    """The headline score of a runner on all images of a split; 0 where it is undefined.

    Raises:
        GraftError: The split cannot be read.
    """
    found = _parity_of(spec, num_classes)
    for row in progress(read_rows(images), "Scoring a file", total=num_rows(images), unit="image"):
        logits = predict_logits(runner, decode(row.image, spec, where=row.id), spec, predict)
        found.add(logits, logits, decode_target(row, spec.task))
    return float(found.as_dict()["original_score"])


def _count(ids: np.ndarray, targets: np.ndarray, num_classes: int, task: str) -> np.ndarray:
    ignored = {} if task == "segmentation" else {"ignore_index": None}
    return confusion_matrix(ids, targets, num_classes, **ignored)


def compare_sizes(original: Runner, exported: Runner, spec: Preparation, fixed_size_px: int | None = None) -> float:
    """The largest difference, as a share of the largest logit, at sizes the exporter never saw, in batches of 1 and 3.

    The images are noise, on which logits may be a hundred times larger than on photographs: hence a share. They are
    padded as the model wants it; one that works with a single size gets only that.
    """
    generator, difference = np.random.default_rng(0), 0.0
    for num_images, size in zip((1, 3, 1), ODD_SIZES, strict=True):
        padded = (side + padding(side, spec.padding_multiple, spec.min_side_px) for side in size)
        height, width = padded if fixed_size_px is None else (fixed_size_px, fixed_size_px)
        images = generator.integers(0, 256, (num_images, height, width, len(spec.channels)), np.uint8)
        logits = original(images)
        scale = max(float(np.abs(logits).max()), float(np.finfo(np.float32).tiny))
        difference = max(difference, largest_difference(logits, exported(images)) / scale)
    return difference


def score_difference(task: str, original: Mapping[str, Any], exported: Mapping[str, Any]) -> dict[str, Any]:
    """The headline of two sets of scores and how far they lie apart, as `parity.json` holds them."""
    before, after = (found[HEADLINE[task]] or 0.0 for found in (original, exported))
    return {
        "score": HEADLINE[task],
        "original_score": before,
        "exported_score": after,
        "score_difference": abs(before - after),
    }


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest absolute difference; infinite where either is not finite."""
    difference = float(np.abs(one - other).max())
    return difference if np.isfinite(difference) else float("inf")


def spread_rows(images: Path, limit: int) -> list[Row]:
    """At most `limit` rows of a split, evenly spread over it, its first among them."""
    total = num_rows(images)
    if not total:
        raise GraftError("the split holds no images", where=images, remedy="choose another evaluate.split")
    return list(read_rows(images, spread(total, limit)))


def spread(total: int, limit: int) -> set[int]:
    """At most `limit` of the numbers below `total`, evenly spread, 0 among them."""
    number = min(limit, total)
    return {index * total // number for index in range(number)}


def refuse_disagreement(parity: dict[str, Any], export: Export) -> None:
    """Stops where the exported model is another model.

    Raises:
        GraftError: Lists every tolerance that is exceeded, with the value and the tolerance.
    """
    found = max(parity["max_logit_difference"], parity["relative_difference_at_odd_sizes"])
    difference = max(parity["score_difference"], parity.get("rounding", {}).get("score_difference", 0.0))
    problems = []
    if not found <= export.max_logit_difference:
        limit = f"export.max_logit_difference is {export.max_logit_difference:g}"
        problems.append(f"logits differ by up to {found:.3g}; {limit}")
    if not parity["equal_fraction"] >= export.min_equal_fraction:
        limit = f"export.min_equal_fraction is {export.min_equal_fraction:.4%}"
        problems.append(f"{parity['equal_fraction']:.4%} of the predictions are equal; {limit}")
    if not difference <= export.max_score_difference:
        limit = f"export.max_score_difference is {export.max_score_difference:g}"
        problems.append(f"{parity['score']} differs by {difference:.3g}; {limit}")
    if problems:
        raise GraftError.of_all(
            "the exported model disagrees with the original",
            problems,
            remedy="set weights_dtype: float32 or another opset, or widen the tolerance if the difference is harmless",
        )
