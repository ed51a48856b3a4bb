"""The statistics of drift: false alarms, power, effects; on numbers alone, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from graft.commands.drift.comparison import MEASURES, compare
from graft.commands.drift.two_samples import energy_test, holm, largest_gap, neighbour_distances, smallest_gap_seen
from graft.commands.drift.verdict import judge
from graft.data.properties import PROPERTIES, picture_properties
from graft.evaluation.observations import Observations
from graft.foundation.errors import GraftError

MIXING = np.random.default_rng(3).normal(size=(3, 24))


def observations(generator: np.random.Generator, num_images: int, shift: float = 0.0) -> Observations:
    """Images of one source: correlated features, uneven class shares, one size."""
    common = generator.normal(shift, 1, (num_images, 3))
    features = np.maximum(common @ MIXING + generator.normal(0, 0.5, (num_images, 24)), 0)
    properties = {name: generator.gamma(2 + index, 10, num_images) for index, name in enumerate(PROPERTIES)}
    properties |= {"megapixels": np.ones(num_images), "aspect_ratio": np.ones(num_images)}
    digests = tuple(hashlib.sha256(row.tobytes()).hexdigest() for row in features)
    shares = generator.dirichlet([5, 2, 0.5], num_images)
    return Observations(digests, properties, generator.beta(8, 2, num_images), shares, features.astype(np.float32))


def moved(reference: Observations, new: Observations) -> Sequence[str]:
    movements = compare(reference, new, ("a", "b", "c"), "pixels", 0.05, 1)
    assert tuple(movement.name for movement in movements) == MEASURES
    return judge(movements, len(reference.digests), len(new.digests), 0.05).moved


def test_of_200_draws_from_one_source_about_one_in_twenty_alarms_at_most() -> None:
    generator = np.random.default_rng(11)
    sizes = [(40, 5), (40, 20), (30, 30), (20, 40)]
    alarms = sum(bool(moved(*(observations(generator, n) for n in sizes[draw % 4]))) for draw in range(200))
    assert alarms <= 18  # 10 are expected at most; more than 18 has a chance of 0.6%


def test_a_shift_of_the_features_alone_is_found() -> None:
    generator = np.random.default_rng(12)
    assert moved(observations(generator, 100), observations(generator, 60, shift=1.0)) == ("features",)


def test_holm_holds_back_where_one_test_alone_would_fail() -> None:
    assert holm([0.001, 0.04, 0.03, 0.01], 0.05) == [True, False, False, True]
    assert holm([0.04, 0.9], 0.05) == [False, False]


def test_the_largest_gap_lies_where_the_samples_part() -> None:
    gap = largest_gap(np.arange(100.0), np.arange(50.0))
    assert (gap.value, gap.before, gap.now) == (49.0, 0.5, 1.0)
    assert largest_gap(np.ones(50), np.ones(30)).p_value == pytest.approx(1)


def test_energy_agrees_with_a_slow_count() -> None:
    generator = np.random.default_rng(0)
    before, now = generator.normal(size=(9, 2)), generator.normal(0.8, 1, (6, 2))
    points, statistics = np.concatenate([before, now]), []
    for labels in [np.arange(15) >= 9, *(generator.permutation(np.arange(15) >= 9) for _ in range(400))]:
        x, y = points[~labels], points[labels]
        between, in_x, in_y = (
            np.mean([[np.linalg.norm(a - b) for b in second] for a in first])
            for first, second in ((x, y), (x, x), (y, y))
        )
        statistics.append(2 * between - in_x - in_y)
    slow = np.mean(np.array(statistics) >= statistics[0] - 1e-9)
    assert energy_test(before, now, 3999, 0) == pytest.approx(slow, abs=0.06)


def test_an_image_is_not_its_own_neighbour() -> None:
    points = np.array([[0.0], [1.0], [3.0]])
    assert neighbour_distances(points).tolist() == [2.0, 1.5, 2.5]
    assert neighbour_distances(points, np.array([[10.0]])).tolist() == pytest.approx([(10 + 9 + 7) / 3])


def test_fewer_images_show_only_larger_changes() -> None:
    seen = [smallest_gap_seen(400, num_new, 0.05 / 9) for num_new in (2, 30, 300)]
    assert seen[0] > 1 > seen[1] > seen[2]


def test_properties_see_light_blur_and_colour() -> None:
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (48, 64, 3), np.uint8)
    sharp = picture_properties(picture)
    dark, grey = picture_properties(picture // 4), picture_properties(np.repeat(picture[..., :1], 3, axis=2))
    smooth = picture_properties(np.cumsum(np.ones((48, 64, 3)), axis=1).astype(np.uint8))
    assert dark["luminance"] < sharp["luminance"]
    assert dark["contrast"] < sharp["contrast"]
    assert grey["saturation"] == 0
    assert smooth["sharpness"] < sharp["sharpness"]
    assert (sharp["megapixels"], sharp["aspect_ratio"]) == pytest.approx((48 * 64 / 1e6, 4 / 3))


def test_observations_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = observations(np.random.default_rng(4), 7)
    for name in ("a", "b"):
        written.write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = Observations.read(tmp_path / "a")
    assert read.digests == written.digests
    np.testing.assert_allclose(read.features, written.features, rtol=1e-3)
    np.testing.assert_allclose(read.class_shares, written.class_shares)
    (tmp_path / "a").write_bytes(b"no table")
    with pytest.raises(GraftError, match="not the reference of a model"):
        Observations.read(tmp_path / "a")
