"""Every sampling: an order as long as the training split, drawn from the generator alone, as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from graft.foundation.choices import resolve
from graft.foundation.class_map import TASKS as ALL_TASKS
from graft.foundation.errors import GraftError
from graft.training.sampling import SAMPLINGS, TASKS
from graft.training.sampling.rare_class import class_chances

# Options that change what an entry does; an entry without a row fails the first test.
CASES = {"balanced": {}, "rare_class": {"temperature": 0.5, "min_pixels": 30}, "shuffled": {}}

# Six images of 100 pixels: class 0 is everywhere, class 3 nowhere; image 4 is wholly ignored.
COUNTS = np.array(
    [[90, 10, 0, 0], [100, 0, 0, 0], [50, 50, 0, 0], [60, 0, 40, 0], [0, 0, 0, 0], [99, 0, 1, 0]], np.int64
)


def orders(name: str, counts: np.ndarray, num_epochs: int = 400, **options: object) -> np.ndarray:
    sampling = resolve(SAMPLINGS, {"name": name, **options}, where="fine_tune.sampling")(counts)
    generator = np.random.default_rng(5)
    return np.stack([sampling(generator) for _ in range(num_epochs)])


def test_every_sampling_has_a_case_and_says_which_tasks_it_serves():
    assert set(CASES) == set(SAMPLINGS) == set(TASKS)
    assert all(tasks and set(tasks) <= set(ALL_TASKS) for tasks in TASKS.values())


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_order_is_as_long_as_the_split_and_depends_on_the_generator_alone(name):
    for options in ({}, CASES[name]):
        drawn = orders(name, COUNTS, **options)
        assert drawn.shape == (400, 6)
        assert drawn.dtype == np.int64
        assert drawn.min() >= 0
        assert drawn.max() < 6
        assert np.array_equal(drawn, orders(name, COUNTS, **options))
        assert len(np.unique(drawn, axis=0)) > 1


def test_shuffled_shows_every_sample_once():
    assert np.array_equal(np.sort(orders("shuffled", COUNTS), axis=1), np.tile(np.arange(6), (400, 1)))


def test_balanced_shows_every_label_equally_often_and_every_sample_before_one_comes_again():
    labels = np.array([0] * 7 + [1] * 2)
    for order in orders("balanced", np.eye(2, dtype=np.int64)[labels], num_epochs=50):
        shown = np.bincount(order, minlength=9)
        by_class = [shown[labels == k] for k in (0, 1)]
        assert abs(by_class[0].sum() - by_class[1].sum()) == 1, "nine draws for two classes"
        assert all(np.ptp(times) <= 1 for times in by_class)


def test_balanced_counts_an_image_for_every_class_it_holds():
    order = orders("balanced", COUNTS).ravel()
    assert 4 not in order, "nothing of it is labelled"
    shares = np.bincount(order, minlength=6) / len(order)
    expected = np.array([1 / 15 + 1 / 6, 1 / 15, 1 / 15 + 1 / 6, 1 / 15 + 1 / 6, 0, 1 / 15 + 1 / 6])
    assert np.abs(shares - expected).max() < 0.02


def test_chances_of_classes_are_those_of_equation_5():
    """By hand: shares 0.9, 0.1 and T = 0.5 give exp(0.2) and exp(1.8)."""
    assert np.allclose(class_chances(np.array([90, 10]), 0.5), [0.1679816, 0.8320184])
    assert class_chances(np.array([2, 10**9]), 1e-6).tolist() == [1.0, 0.0], "no overflow, however cold"


def test_rare_classes_come_as_often_as_their_chance():
    chances = class_chances(COUNTS.sum(axis=0)[:3], 0.5)
    order = orders("rare_class", COUNTS, num_epochs=4000, temperature=0.5).ravel()
    shares = np.bincount(order, minlength=6) / len(order)
    members = np.array([[1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 1]])
    assert np.abs(shares - chances @ (members / members.sum(axis=1, keepdims=True))).max() < 0.01


def test_rare_class_asks_for_enough_pixels_where_an_image_has_them():
    cold = {"temperature": 1e-4}  # class 2 alone is drawn
    assert set(orders("rare_class", COUNTS, **cold).ravel()) == {3, 5}
    assert set(orders("rare_class", COUNTS, **cold, min_pixels=30).ravel()) == {3}
    assert set(orders("rare_class", COUNTS, **cold, min_pixels=3000).ravel()) == {3, 5}


@pytest.mark.parametrize("name", ["balanced", "rare_class"])
def test_samples_without_any_label_are_refused(name):
    with pytest.raises(GraftError, match=r"fine_tune.sampling: no training sample holds a labelled pixel"):
        orders(name, np.zeros((3, 2), np.int64))
