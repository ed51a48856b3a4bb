"""Every transferability score: against an independent derivation, and higher where features separate the classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.selection.transferability import READS, SCORES


def clouds(apart: float, num: int = 90, width: int = 12, num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features around class means, which lie `apart`; classes of different sizes."""
    rng = np.random.default_rng(5)
    labels = np.sort(rng.choice(num_classes, num, p=[0.5, 0.3, 0.2]))
    means = rng.normal(size=(num_classes, width))
    return apart * means[labels] + rng.normal(size=(num, width)), labels


def as_probabilities(features: np.ndarray) -> np.ndarray:
    """What a source head of four classes might say: a softmax over the first features."""
    likely = np.exp(features[:, :4])
    return likely / likely.sum(axis=1, keepdims=True)


def evidence_for(score: str, apart: float) -> tuple[np.ndarray, np.ndarray]:
    features, labels = clouds(apart)
    return (as_probabilities(features) if READS[score] == "probabilities" else features), labels


def logme_by_search(features: np.ndarray, labels: np.ndarray) -> float:
    """The marginal likelihood of each class, N(0, 1 / beta + F F' / alpha), maximised numerically."""
    found = []
    for label in np.unique(labels):
        target = (labels == label).astype(float)

        def against(logs: np.ndarray, target: np.ndarray = target) -> float:
            covariance = np.exp(logs[0]) * np.eye(len(target)) + np.exp(logs[1]) * features @ features.T
            return -multivariate_normal.logpdf(target, cov=covariance, allow_singular=True)

        found.append(-minimize(against, [-1.0, -1.0], method="Nelder-Mead", options={"fatol": 1e-8}).fun)
    return float(np.mean(found)) / len(labels)


def h_score_by_trace(features: np.ndarray, labels: np.ndarray) -> float:
    """The trace itself, with scikit-learn's shrinkage."""
    fitted = LedoitWolf().fit(features)
    expected = np.stack([features[labels == label].mean(axis=0) for label in labels])
    between = np.cov(expected.T, bias=True)
    return float(np.trace(np.linalg.inv(fitted.covariance_) @ between) * (1 - fitted.shrinkage_))


def leep_by_loops(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The definition, a sample and a class at a time."""
    total = 0.0
    for number, label in enumerate(labels):
        expected = 0.0
        for z in range(probabilities.shape[1]):
            share = probabilities[labels == label, z].sum() / probabilities[:, z].sum()
            expected += share * probabilities[number, z]
        total += np.log(expected)
    return total / len(labels)


def transrate_by_eigenvalues(features: np.ndarray, labels: np.ndarray) -> float:
    """Rates as sums over eigenvalues of covariances."""
    centred = features - features.mean(axis=0)
    centred = centred / np.sqrt(np.trace(np.cov(centred.T, bias=True)))

    def rate(samples: np.ndarray) -> float:
        eigenvalues = np.linalg.svd(samples, compute_uv=False) ** 2 / len(samples)
        return float(np.log1p(eigenvalues / 1e-4).sum() / 2)

    return rate(centred) - sum(np.mean(labels == c) * rate(centred[labels == c]) for c in np.unique(labels))


DERIVATIONS = {
    "logme": logme_by_search,
    "h_score": h_score_by_trace,
    "leep": leep_by_loops,
    "transrate": transrate_by_eigenvalues,
    "nleep": None,  # a mixture has no closed form: what it is made of is tested below
}


def test_every_score_has_a_row_and_says_what_it_reads():
    assert set(DERIVATIONS) == set(SCORES) == set(READS)
    assert set(READS.values()) == {"features", "probabilities"}


@pytest.mark.parametrize("score", [name for name, derived in DERIVATIONS.items() if derived])
@pytest.mark.parametrize("apart", [0.2, 1.5])
def test_a_score_is_what_an_independent_derivation_gives(score, apart):
    evidence, labels = evidence_for(score, apart)
    assert SCORES[score](evidence, labels) == pytest.approx(DERIVATIONS[score](evidence, labels), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("score", ["logme", "h_score", "transrate"])
def test_more_dimensions_than_samples_are_treated_alike(score):
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 15)
    features = rng.normal(size=(30, 50)) + labels[:, None]
    assert SCORES[score](features, labels) == pytest.approx(DERIVATIONS[score](features, labels), rel=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_features_that_separate_the_classes_score_higher_than_noise(score):
    values = [SCORES[score](*evidence_for(score, apart)) for apart in (0.0, 0.7, 2.0)]
    assert values == sorted(values)
    assert values[2] > values[0]


@pytest.mark.parametrize("score", SCORES)
def test_a_score_is_a_pure_function_that_does_not_mind_gaps_and_order(score):
    evidence, labels = evidence_for(score, 1.0)
    before = evidence.copy()
    order = np.random.default_rng(1).permutation(len(labels))
    value = SCORES[score](evidence, labels)
    assert SCORES[score](evidence, labels) == value
    assert SCORES[score](evidence, labels * 5 + 2) == pytest.approx(value, rel=1e-9)
    assert np.array_equal(evidence, before)
    if score != "nleep":  # a mixture starts from samples, whose order counts
        assert SCORES[score](evidence[order], labels[order]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("score", ["h_score", "transrate", "nleep"])
def test_the_unit_of_the_features_does_not_count(score):
    features, labels = clouds(1.0)
    assert SCORES[score](features * 10, labels) == pytest.approx(SCORES[score](features, labels), rel=1e-2)


@pytest.mark.parametrize("score", SCORES)
def test_constant_features_and_a_single_class_are_finite(score):
    evidence, labels = evidence_for(score, 1.0)
    assert np.isfinite(SCORES[score](np.full_like(evidence, 0.25), labels))
    assert np.isfinite(SCORES[score](evidence, np.zeros_like(labels)))


def test_leep_and_nleep_are_at_best_nothing_lost():
    labels = np.repeat([0, 1, 2], 20)
    assert SCORES["leep"](np.eye(3)[labels], labels) == pytest.approx(0.0)
    far = np.eye(3)[labels] * 100 + np.random.default_rng(0).normal(size=(60, 3))
    assert SCORES["nleep"](far, labels) == pytest.approx(0.0, abs=1e-6)


def test_options_are_checked_as_everywhere():
    with pytest.raises(GraftError, match=r"nleep has no such option; did you mean 'energy'"):
        resolve(SCORES, {"name": "nleep", "enrgy": 0.5}, where="--scores")
