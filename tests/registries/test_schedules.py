"""Every schedule against values worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from graft.choices import resolve
from graft.errors import GraftError
from graft.schedules import SCHEDULES, warmed_up

# name: [(options, factors of steps 0 … 4 of 4)]
ROWS = {
    "constant": [({}, [1, 1, 1, 1, 1])],
    "cosine": [
        ({}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        (
            {"final_factor": 0.2},
            [1, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2, 0.6, 0.2 + 0.8 * (1 - math.sqrt(0.5)) / 2, 0.2],
        ),
    ],
    "exponential": [
        ({}, [1, 10**-0.5, 0.1, 10**-1.5, 0.01]),
        ({"final_factor": 0.0625}, [1, 0.5, 0.25, 0.125, 0.0625]),
    ],
    "poly": [({}, [1, 0.75**0.9, 0.5**0.9, 0.25**0.9, 0]), ({"power": 2.0}, [1, 0.5625, 0.25, 0.0625, 0])],
    "step": [({}, [1, 1, 0.1, 0.01, 0.01]), ({"milestones": [0.25], "drop": 0.5}, [1, 0.5, 0.5, 0.5, 0.5])],
}


def test_every_schedule_has_a_row():
    assert list(ROWS) == list(SCHEDULES)


@pytest.mark.parametrize(("name", "options", "factors"), [(n, o, f) for n, rows in ROWS.items() for o, f in rows])
def test_values_worked_out_by_hand(name, options, factors):
    schedule = resolve(SCHEDULES, {"name": name, **options}, where="fine_tune.schedule")
    assert [schedule(step, 4) for step in range(5)] == pytest.approx(factors)


@pytest.mark.parametrize("name", SCHEDULES)
def test_starts_at_one_and_never_grows(name):
    factors = [SCHEDULES[name](step, 1000) for step in range(1001)]
    assert factors[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors))
    assert factors[-1] >= 0


def test_warm_up_is_linear_and_the_schedule_starts_where_it_ends():
    poly = resolve(SCHEDULES, {"name": "poly", "power": 1.0}, where="x")
    found = [warmed_up(poly, step, 6, 2) for step in range(6)]
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    assert warmed_up(poly, 0, 6, 0) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"name": "poly", "pover": 1.0}, "poly has no such option; did you mean 'power'"),
        ({"name": "exponential", "final_factor": 0.0}, "greater than 0"),
        ({"name": "step", "milestones": [1.5]}, "less than 1"),
    ],
)
def test_what_cannot_be_used_is_said(spec, message):
    with pytest.raises(GraftError, match=r"fine_tune\.schedule") as error:
        resolve(SCHEDULES, spec, where="fine_tune.schedule")
    assert message in str(error.value)
