"""Scores and thresholds of images with several labels, against scikit-learn and values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from graft.inference.label_decisions import decide_labels, label_confidence, label_probabilities
from graft.metrics.bootstrap import resample
from graft.metrics.label_rankings import LabelMarginals, RankedMarginals, average_precision
from graft.metrics.label_thresholds import best_thresholds
from graft.metrics.summaries import gain_over, select, stack, summarise, total

NAMES = ("rain", "night", "car")


def example(num_images: int = 40, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and labels."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_images, 3)) < (0.3, 0.5, 0.8)).astype(np.uint8)
    return np.round(0.6 * generator.random((num_images, 3)) + 0.3 * truth, 1), truth


def marginals_of(probabilities: np.ndarray, truth: np.ndarray, threshold: float = 0.5) -> LabelMarginals:
    images = zip(probabilities, decide_labels(probabilities, (threshold,) * 3), truth, strict=True)
    found = stack([LabelMarginals.of_image(*image) for image in images])
    assert isinstance(found, LabelMarginals)
    return found


def test_average_precision_by_hand() -> None:
    # ranks: present, absent, present, absent: recall 1/2 at precision 1, and 1 at precision 2/3
    probabilities, truth = np.array([[0.9], [0.8], [0.7], [0.1]]), np.array([[1], [0], [1], [0]])
    assert average_precision(probabilities, truth) == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])
    # all alike are one step, at the share of the class
    assert average_precision(np.full((4, 1), 0.5), truth) == pytest.approx([0.5])
    assert np.isnan(average_precision(probabilities, np.zeros((4, 1), np.uint8))).all()


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_average_precision_is_that_of_scikit_learn(seed: int, num_images: int) -> None:
    probabilities, truth = example(num_images, seed)
    found = average_precision(probabilities, truth)
    for k in range(3):
        if truth[:, k].any():
            assert found[k] == pytest.approx(oracle.average_precision_score(truth[:, k], probabilities[:, k]))
        else:
            assert np.isnan(found[k])


def test_weights_are_repetitions() -> None:
    probabilities, truth = example()
    times = np.random.default_rng(0).integers(0, 3, (4, len(truth)))
    repeated = [average_precision(probabilities.repeat(n, axis=0), truth.repeat(n, axis=0)) for n in times]
    assert average_precision(probabilities, truth, times) == pytest.approx(np.array(repeated))


def test_scores_of_a_split_are_those_of_scikit_learn() -> None:
    probabilities, truth = example()
    images, decided = marginals_of(probabilities, truth), (probabilities >= 0.5).astype(int)
    found = summarise(images, ["day"] * 40, task="multilabel", names=NAMES, num_samples=20, seed=1)
    assert found["mean_average_precision"] == pytest.approx(oracle.average_precision_score(truth, probabilities))
    for kind in ("macro", "micro"):
        assert found[f"{kind}_f1"] == pytest.approx(oracle.f1_score(truth, decided, average=kind))
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(truth, decided, zero_division=np.nan)
    for score, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert list(found[score].values()) == pytest.approx(list(expected))
    assert found["true_share"] == pytest.approx(dict(zip(NAMES, truth.mean(axis=0), strict=True)))
    assert list(found["average_precision"]) == list(NAMES)
    assert found["per_domain"]["day"]["mean_average_precision"] == found["mean_average_precision"]


def test_intervals_are_of_draws_of_whole_images() -> None:
    probabilities, truth = example()
    images = marginals_of(probabilities, truth)
    drawn = resample(images, 30, 5)
    assert isinstance(drawn, RankedMarginals)
    draws = np.random.default_rng(5).integers(0, 40, (30, 40))  # the draws that `resample` makes
    expected = [oracle.average_precision_score(truth[rows], probabilities[rows]) for rows in draws]
    assert drawn.mean_average_precision == pytest.approx(np.array(expected))
    gain = gain_over(images, images, task="multilabel", num_samples=10, seed=1)
    assert gain["mean_average_precision"] == 0
    assert gain["interval"]["mean_average_precision"] == [0, 0]


def test_some_of_the_images_are_scored_by_themselves() -> None:
    probabilities, truth = example()
    part = total(select(marginals_of(probabilities, truth), [3, 5, 8, 13, 21]))
    assert isinstance(part, RankedMarginals)
    rows = [3, 5, 8, 13, 21]
    assert part.average_precision == pytest.approx(average_precision(probabilities[rows], truth[rows]), nan_ok=True)


def test_thresholds_by_hand() -> None:
    probabilities = np.array([[0.9, 0.2, 0.3, 0.6], [0.6, 0.4, 0.3, 0.4], [0.2, 0.8, 0.1, 0.2], [0.1, 0.6, 0.1, 0.1]])
    truth = np.array([[1, 0, 0, 1], [1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], np.uint8)
    # 1: two above all others, half-way from 0.6 to 0.2. 2: 0.8, 0.6, 0.4 hold both (F1 0.8), so below 0.4.
    assert best_thresholds(probabilities, truth) == pytest.approx((0.4, 0.3, 0.5, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_f1(seed: int) -> None:
    probabilities, truth = example(15, seed)
    for k, threshold in enumerate(best_thresholds(probabilities, truth)):
        if truth[:, k].any():
            decided = probabilities[:, k] >= np.array([threshold, *np.linspace(0, 1, 41)])[:, None]
            f1 = 2 * (decided & (truth[:, k] == 1)).sum(axis=1) / (decided.sum(axis=1) + truth[:, k].sum())
            assert f1[0] == f1.max()


def test_logits_become_probabilities_and_decisions() -> None:
    found = label_probabilities(np.array([0.0, np.log(3.0), -1000.0, 1000.0], np.float32))
    assert found == pytest.approx([0.5, 0.75, 0, 1])
    decided = decide_labels(found, (0.5, 0.8, 0.1, 0.9))
    assert decided.tolist() == [1, 0, 0, 1]
    assert label_confidence(found, decided) == pytest.approx((0.5 + 0.25 + 1 + 1) / 4)
