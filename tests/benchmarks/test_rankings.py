from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from benchmarks.rankings import Agreement, candidates_of, compare, draw, of_candidates, of_domain, over_domains
from graft.foundation.choices import Choice
from graft.selection.candidates import Candidate
from graft.selection.cost import Cost
from graft.selection.ranking import RankedCandidate, rank

SCORES = {"a": [0.5, 0.6], "b": [0.4, 0.45], "c": [0.2, 0.3], "d": [0.1, 0.15]}


def ranked() -> list[RankedCandidate]:
    """Four candidates: `logme` has them in the order of SCORES, `nleep` the other way round."""
    made = []
    for number, name in enumerate(SCORES):
        candidate = Candidate(name, Choice("m", None, {}), Choice("s", None, {}))
        values = {"logme": float(-number), "nleep": float(number)}
        made.append(RankedCandidate(candidate, Cost(1, 1, 1.0, 1), None, values))
    return rank(made, ["logme"])


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_eight_candidates_need_neither_the_extra_weights_nor_the_zoo(task: str) -> None:
    names = [one.name for one in candidates_of(task)]
    assert len([name for name in names if "lite1" not in name and "lite2" not in name]) >= 8


def test_a_criterion_that_is_right_correlates_fully_whatever_is_drawn() -> None:
    found = compare(ranked(), SCORES, num_draws=20)
    assert astuple(found["logme"]) == pytest.approx((1, 1, 1))
    assert found["mean rank"].value == pytest.approx(1)
    assert found["nleep"].value == pytest.approx(-1)


def test_no_candidate_is_drawn_twice_and_each_has_the_score_of_a_seed() -> None:
    generator = np.random.default_rng(1)
    for _ in range(10):
        drawn = list(draw(ranked(), SCORES, generator))
        names = [one.candidate.name for one in drawn]
        assert len(set(names)) == len(names)
        assert all(one.verified in SCORES[one.candidate.name] for one in drawn)


def test_the_order_that_graft_recommends_by_has_a_bound_and_every_criterion_its_lowest() -> None:
    found = {"x": {"mean rank": Agreement(0.5, 0.1, 0.9), "logme": Agreement(0.7, 0.6, 0.8)}}
    found["y"] = {"mean rank": Agreement(0.8, 0.7, 0.9), "logme": Agreement(0.65, 0.6, 0.8)}
    assert [figure.holds for figure in of_domain("x", found["x"])] == [False, None]
    said = {figure.what: figure.value for figure in over_domains(found)}
    assert said["mean rank: lowest of 2 domains (0.6 reached on 1)"] == 0.5
    assert said["logme: lowest of 2 domains (0.6 reached on 2)"] == 0.65


def test_candidates_stand_in_the_order_of_the_ranking_with_their_fine_tuned_score() -> None:
    first, *_ = of_candidates("x", ranked(), SCORES)
    assert (first.what, first.value, first.spread) == ("x, number 1: a", pytest.approx(0.55), (0.5, 0.6))
