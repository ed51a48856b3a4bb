"""Metrics against scikit-learn, a slow loop, and what must hold of any counts."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from graft.foundation.value_counts import value_counts
from graft.metrics.bootstrap import interval, resample
from graft.metrics.boundary import BoundaryIou
from graft.metrics.calibration import MAX_PIXELS_PER_IMAGE, Calibration, spread_pixels
from graft.metrics.confusion import HEADLINES, Marginals, confusion_matrix, scores
from graft.metrics.summaries import CLASS_SCORES, gain_over, stack, summarise
from graft.training.validation import prediction_histogram

NUM_CLASSES = 5


def example(seed: int, size: int = 400, ignored: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    predictions = generator.integers(0, NUM_CLASSES, size).astype(np.uint8)
    targets = np.where(generator.random(size) < 0.5, predictions, generator.integers(0, NUM_CLASSES, size))
    return predictions, np.where(generator.random(size) < ignored, 255, targets).astype(np.uint8)


pairs = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, 3, 4, 255])), max_size=60).map(
    lambda found: np.array(found, np.uint8).reshape(-1, 2)
)


@given(pairs)
def test_confusion_counts_as_a_loop_does(found: np.ndarray) -> None:
    slow = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    for prediction, target in found:
        if target != 255:
            slow[target, prediction] += 1
    counted = confusion_matrix(found[:, 0], found[:, 1], NUM_CLASSES)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, slow)
    torch_counted = confusion_matrix(torch.from_numpy(found[:, 0].copy()), torch.from_numpy(found[:, 1].copy()), 5)
    np.testing.assert_array_equal(torch_counted, slow)


@given(pairs, st.integers(0, 60))
def test_confusion_of_parts_adds_up(found: np.ndarray, cut: int) -> None:
    parts = (confusion_matrix(part[:, 0], part[:, 1], NUM_CLASSES) for part in (found[:cut], found[cut:]))
    np.testing.assert_array_equal(sum(parts), confusion_matrix(found[:, 0], found[:, 1], NUM_CLASSES))


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_scikit_learn(seed: int) -> None:
    predictions, targets = example(seed)
    known = targets != 255
    truth, found = targets[known], predictions[known]
    confusion = confusion_matrix(predictions, targets, NUM_CLASSES)
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(truth, found, labels=range(NUM_CLASSES)))
    result = scores(confusion)
    options = {"labels": range(NUM_CLASSES), "average": None}
    np.testing.assert_allclose(result["iou"], oracle.jaccard_score(truth, found, **options))
    np.testing.assert_allclose(result["dice"], oracle.f1_score(truth, found, **options))
    np.testing.assert_allclose(result["precision"], oracle.precision_score(truth, found, **options))
    np.testing.assert_allclose(result["recall"], oracle.recall_score(truth, found, **options))
    assert result["mean_iou"] == pytest.approx(oracle.jaccard_score(truth, found, average="macro"))
    assert result["frequency_weighted_iou"] == pytest.approx(oracle.jaccard_score(truth, found, average="weighted"))
    assert result["macro_f1"] == pytest.approx(oracle.f1_score(truth, found, average="macro"))
    assert result["accuracy"] == result["pixel_accuracy"] == pytest.approx(oracle.accuracy_score(truth, found))


def test_a_class_in_neither_truth_nor_prediction_has_no_score() -> None:
    result = scores(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert result["iou"] == [0.75, pytest.approx(2 / 3), None]
    assert result["mean_iou"] == pytest.approx((0.75 + 2 / 3) / 2)
    assert result["precision"][2] is None
    assert result["recall"][2] is None


def test_a_class_only_predicted_counts_as_zero() -> None:
    result = scores(np.array([[3, 1], [0, 0]]))
    assert result["iou"] == [0.75, 0.0]
    assert result["recall"][1] is None


def test_nothing_labelled_has_no_score() -> None:
    confusion = confusion_matrix(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8), 3)
    assert not confusion.any()
    assert scores(confusion)["mean_iou"] is None
    assert scores(confusion)["accuracy"] is None


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_ids_that_are_no_class_are_refused(kind) -> None:
    fine, foreign = np.array([0, 1]), np.array([0, 7])
    with pytest.raises(ValueError, match="predictions hold ids"):
        confusion_matrix(kind(foreign), kind(fine), 3)
    with pytest.raises(ValueError, match="targets hold ids"):
        confusion_matrix(kind(fine), kind(foreign), 3)
    with pytest.raises(ValueError, match="targets hold ids"):
        confusion_matrix(kind(fine), kind(np.array([0, -1])), 3)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(kind(fine), kind(np.array([0])), 3)


def test_many_classes_may_use_255_as_a_class() -> None:
    ids = np.arange(300)
    np.testing.assert_array_equal(confusion_matrix(ids, ids, 300, ignore_index=None), np.eye(300))
    assert confusion_matrix(ids, ids, 300)[255, 255] == 0


@given(st.integers(0, 1000), st.integers(1, 30))
def test_calibration_error_equals_a_loop(seed: int, num_bins: int) -> None:
    generator = np.random.default_rng(seed)
    logits, targets = generator.normal(0, 3, (NUM_CLASSES, 50)), generator.integers(0, NUM_CLASSES, 50)
    calibration = Calibration(num_bins)
    calibration.add(logits[:, :20], targets[:20])
    calibration.add(logits[:, 20:], targets[20:])
    probabilities = torch.softmax(torch.from_numpy(logits), 0).numpy()
    confidence, right = probabilities.max(0), probabilities.argmax(0) == targets
    expected = 0.0
    for low in range(num_bins):
        inside = (confidence > low / num_bins) & (confidence <= (low + 1) / num_bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration.error == pytest.approx(expected, abs=1e-9)
    assert sum(one["count"] for one in calibration.bins()) == 50


def test_calibration_leaves_ignored_pixels_out() -> None:
    calibration = Calibration(10)
    calibration.add(np.zeros((3, 4), np.float32), np.full(4, 255, np.uint8))
    assert calibration.error is None
    calibration.add(np.array([[50.0, 50.0], [0.0, 0.0]]), np.array([0, 255]))
    assert calibration.error == pytest.approx(0)


@given(st.integers(1, 200), st.integers(1, 200))
def test_spread_pixels_are_few_and_reach_every_column(height: int, width: int) -> None:
    mask = np.arange(height * width).reshape(height, width)
    logits, targets = spread_pixels(mask[None].astype(np.float32), mask)
    assert targets.size <= MAX_PIXELS_PER_IMAGE
    np.testing.assert_array_equal(logits[0], targets)
    if targets.size >= width:
        assert set(targets % width) == set(range(width))


def images_of(seed: int, num_images: int = 12) -> Marginals:
    counted = [confusion_matrix(*example(seed * 100 + i, 30), NUM_CLASSES) for i in range(num_images)]
    return stack([Marginals.of(one) for one in counted])


def test_bootstrap_equals_a_loop_over_draws() -> None:
    images = images_of(1)
    drawn = resample(images, 20, seed=3)
    indices = np.random.default_rng(3).integers(0, 12, (20, 12))
    for sample, chosen in enumerate(indices):
        np.testing.assert_array_equal(drawn.hits[sample], sum(images.hits[i] for i in chosen))
        np.testing.assert_array_equal(drawn.truth[sample], sum(images.truth[i] for i in chosen))


def test_bootstrap_in_pieces_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = resample(images_of(2), 50, seed=1)
    monkeypatch.setattr("graft.metrics.bootstrap.NUM_DRAWN_AT_ONCE", 30)
    np.testing.assert_array_equal(resample(images_of(2), 50, seed=1).mean_iou, whole.mean_iou)


def test_marginals_let_their_confusion_matrix_go() -> None:
    confusion = confusion_matrix(*example(0), NUM_CLASSES)
    marginals = Marginals.of(confusion)
    assert not any(np.shares_memory(confusion, part) for part in (marginals.hits, marginals.truth, marginals.predicted))


def test_interval_covers_the_score_and_closes_on_equal_images() -> None:
    images = images_of(4, 60)
    low, high = interval(resample(images, 500, seed=0).accuracy)
    assert low < images.hits.sum() / images.truth.sum() < high
    assert high - low < 0.1
    same = images_of(5, 1)
    low, high = interval(resample(same, 10, seed=0).mean_iou)
    assert low == high == pytest.approx(float(same.mean_iou[0]))
    assert interval(np.array([math.nan])) is None


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_summary_has_every_score(task: str) -> None:
    names, domains = list("abcde"), ["day"] * 7 + ["night"] * 5
    images = images_of(6)
    deliveries = ["first"] * 4 + ["fog"] * 8
    found = summarise(images, domains, deliveries, task=task, names=names, num_samples=100, seed=1)
    assert {name: part["num_images"] for name, part in found["per_delivery"].items()} == {"first": 4, "fog": 8}
    alone = summarise(images, domains, deliveries[:4] * 3, task=task, names=names, num_samples=100, seed=1)
    assert alone == {key: value for key, value in found.items() if key != "per_delivery"}
    for score in HEADLINES[task]:
        low, high = found["interval"][score]
        assert low <= found[score] <= high
    for score, attribute in CLASS_SCORES[task].items():
        assert list(found[score]) == names
        of_fog = getattr(
            Marginals(*(getattr(images, name)[4:].sum(0) for name in ("hits", "truth", "predicted"))), attribute
        )
        assert list(found["per_delivery"]["fog"][score].values()) == pytest.approx(of_fog.tolist())
    assert {name: part["num_images"] for name, part in found["per_domain"].items()} == {"day": 7, "night": 5}
    day = Marginals(images.hits[:7].sum(0), images.truth[:7].sum(0), images.predicted[:7].sum(0))
    assert found["per_domain"]["day"][next(iter(HEADLINES[task]))] == pytest.approx(
        float(getattr(day, HEADLINES[task][next(iter(HEADLINES[task]))]))
    )


def test_gain_over_itself_is_zero_with_a_closed_interval() -> None:
    gain = gain_over(images_of(7), images_of(7), task="segmentation", num_samples=50, seed=1)
    assert gain["mean_iou"] == 0
    assert gain["interval"]["mean_iou"] == [0, 0]


def blobs(seed: int, size: tuple[int, int] = (40, 61), ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A truth of round shapes, and a prediction that is off by a little, uint8 both."""
    generator = np.random.default_rng(seed)
    ids = [np.zeros((size[0] + 2, size[1] + 2), np.uint8) for _ in range(2)]
    for class_id in range(1, NUM_CLASSES):
        place, radius = generator.integers(0, size[1], 2), int(generator.integers(4, 14))
        for picture, shift in zip(ids, (0, generator.integers(-2, 3, 2)), strict=True):
            cv2.circle(picture, tuple(int(v) for v in place + shift), radius, class_id, -1)
    mask, class_ids = (picture[1:-1, 1:-1].copy() for picture in ids)
    if ignored:
        mask[generator.random(size) < 0.02] = 255
        mask[:5, :9] = 255
    return class_ids, mask


def slow_boundary_iou(pairs_of_images: list[tuple[np.ndarray, np.ndarray]], fraction: float) -> list[float]:
    """By class and pixel, with SciPy's erosion of the class's own mask, as the paper's program works."""
    found = []
    for class_id in range(NUM_CLASSES):
        shared = either = 0
        for class_ids, mask in pairs_of_images:
            known = mask != 255
            distance = max(1, round(fraction * math.hypot(*mask.shape)))
            square = np.ones((2 * distance + 1,) * 2, bool)
            bands = []
            for ids in (mask, class_ids):
                inner = ndimage.binary_erosion((ids == class_id) | ~known, square, border_value=1)
                bands.append((ids == class_id) & known & ~inner)
            shared, either = shared + (bands[0] & bands[1]).sum(), either + (bands[0] | bands[1]).sum()
        found.append(shared / either if either else math.nan)
    return found


@pytest.mark.parametrize("fraction", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("ignored", [False, True])
def test_boundary_iou_is_that_of_eroded_masks(fraction: float, ignored: bool) -> None:
    images = [blobs(seed, ignored=ignored) for seed in range(4)]
    counted = BoundaryIou(NUM_CLASSES, fraction)
    for class_ids, mask in images:
        counted.add(class_ids, mask)
    expected = slow_boundary_iou(images, fraction)
    np.testing.assert_allclose(counted.by_class, expected)
    assert counted.mean == pytest.approx(np.nanmean(expected))


def test_boundary_iou_by_hand() -> None:
    mask = np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 8, axis=0).astype(np.uint8)
    counted = BoundaryIou(3, 0.001)  # one pixel either side: columns 3 and 4
    counted.add(mask, mask)
    np.testing.assert_array_equal(counted.by_class, [1, 1, math.nan])
    counted.add(np.repeat([[0, 0, 0, 0, 0, 1, 1, 1]], 8, axis=0).astype(np.uint8), mask)
    # The second image: class 0 in columns 3 and 4, of which none is shared; class 1 in columns 4 and 5.
    np.testing.assert_allclose(counted.by_class[:2], [8 / 24, 8 / 24])


def test_boundary_iou_looks_at_outlines_alone() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 1
    smaller = np.zeros_like(mask)
    smaller[12:48, 12:48] = 1
    counted = BoundaryIou(2, 0.02)
    counted.add(smaller, mask)
    area = scores(confusion_matrix(smaller, mask, 2))["iou"][1]
    assert counted.by_class[1] < area
    hole = mask.copy()
    hole[45:47, 2:5] = 255  # nothing is known there: predictions count nowhere, and it has no outline
    perfect = BoundaryIou(2, 0.02)
    perfect.add(np.where(hole == 255, np.uint8(1), mask), hole)
    assert perfect.by_class.tolist() == [1, 1]


def test_boundary_iou_without_an_outline_has_no_value() -> None:
    counted = BoundaryIou(2, 0.02)
    assert math.isnan(counted.mean)
    counted.add(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8))
    assert math.isnan(counted.mean)


def test_counts_of_a_large_image_are_exact() -> None:
    """Whole numbers beyond 2**24 have no place in float32, in which OpenCV counts."""
    values = np.zeros((1 << 13, (1 << 11) + 1), np.uint8)
    values[0, 0], values[0, 1] = 255, 7
    counts = value_counts(values)
    assert counts.dtype == np.int64
    assert counts[[0, 7, 255]].tolist() == [values.size - 2, 1, 1]
    assert counts.sum() == values.size


@given(st.integers(0, 1000), st.integers(1, 30))
def test_classwise_calibration_error_equals_scikit_learns_curves(seed: int, num_bins: int) -> None:
    generator = np.random.default_rng(seed)
    logits, targets = generator.normal(0, 3, (NUM_CLASSES, 50)), generator.integers(0, NUM_CLASSES, 50)
    calibration = Calibration(num_bins)
    for part in (slice(0, 20), slice(20, 50)):
        calibration.add(logits[:, part], targets[part])
    probabilities = torch.softmax(torch.from_numpy(logits), 0).numpy()
    errors = []
    for class_id, of_class in enumerate(probabilities):
        edges = np.linspace(0, 1, num_bins + 1)[1:-1]
        places = np.searchsorted(edges, of_class, side="left")
        counts = np.bincount(places, minlength=num_bins)
        true, mean = calibration_curve(targets == class_id, of_class, n_bins=num_bins)
        errors.append((np.abs(true - mean) * counts[counts > 0]).sum() / 50)
    assert calibration.classwise_error == pytest.approx(np.mean(errors), abs=1e-9)


def test_classwise_calibration_sees_what_the_most_likely_class_hides() -> None:
    calibration = Calibration(10)
    assert calibration.classwise_error is None
    # Sure of class 0 at 0.6 and right in 60% of the cases, but it gives 1 and 2 the wrong shares of the rest.
    logits = np.log(np.array([[0.6], [0.3], [0.1]])).repeat(10, axis=1)
    calibration.add(logits, np.array([0] * 6 + [2] * 4))
    assert calibration.error == pytest.approx(0)
    assert calibration.classwise_error == pytest.approx((0 + 0.3 + 0.3) / 3)


def test_shares_add_up_and_show_a_collapse() -> None:
    confusion = np.array([[60, 0, 0], [30, 0, 0], [9, 1, 0]])
    images = stack([Marginals.of(confusion)])
    found = summarise(images, ["day"], task="segmentation", names=["road", "sky", "car"], num_samples=5, seed=1)
    assert found["predicted_share"] == {"road": 0.99, "sky": 0.01, "car": 0.0}
    assert found["true_share"] == {"road": 0.6, "sky": 0.3, "car": 0.1}
    assert prediction_histogram(confusion, ["road", "sky", "car"], width=10) == [
        "road  predicted  99.0% ██████████",
        "      true       60.0% ██████",
        "sky   predicted   1.0% █",
        "      true       30.0% ███",
        "car   predicted   0.0%",
        "      true       10.0% █",
    ]
    nothing = prediction_histogram(np.zeros((2, 2), np.int64), ["a", "b"])
    assert nothing == ["a  predicted     —", "   true          —", "b  predicted     —", "   true          —"]
