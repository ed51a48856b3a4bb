"""Every schedule against values worked out by hand."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.sections import FineTune
from graft.training.schedules import REASONS, SCHEDULES, Moment, rate_factor_at, refuse_too_long
from graft.training.schedules.warm_up import WARM_UPS, Warmup

LOW, HIGH = (1 - math.sqrt(0.5)) / 2, (1 + math.sqrt(0.5)) / 2
# name: [(options, factors of steps 0 … 8 of 8, two steps an epoch)]
ROWS = {
    "constant": [({}, [1] * 9)],
    "cosine": [
        ({}, [1, None, HIGH, None, 0.5, None, LOW, None, 0]),
        ({"final_factor": 0.2}, [1, None, 0.2 + 0.8 * HIGH, None, 0.6, None, 0.2 + 0.8 * LOW, None, 0.2]),
    ],
    "cosine_restarts": [
        # A period of one epoch, one of two, and the first half of one of four.
        ({"first_epochs": 1}, [1, 0.5, 1, HIGH, 0.5, LOW, 1, None, HIGH]),
        ({"first_epochs": 2, "multiplier": 1, "final_factor": 0.5}, [1, None, 0.75, None] * 2 + [1]),
    ],
    "exponential": [
        ({}, [1, None, 10**-0.5, None, 0.1, None, 10**-1.5, None, 0.01]),
        ({"final_factor": 0.0625}, [1, 0.5**0.5, 0.5, None, 0.25, None, 0.125, None, 0.0625]),
    ],
    "multi_step": [
        ({}, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        ({"milestones": [1, 3], "drop": 0.5}, [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
        ({"milestones": [3, 2]}, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01]),
    ],
    "one_cycle": [
        (
            {"peak_fraction": 0.5, "initial_factor": 0.2, "final_factor": 0.1},
            [0.2, 0.2 + 0.8 * LOW, 0.6, 0.2 + 0.8 * HIGH, 1, 0.1 + 0.9 * HIGH, 0.55, 0.1 + 0.9 * LOW, 0.1],
        ),
        ({}, [0.04, *[None] * 7, 4e-6]),
    ],
    "plateau": [({}, [1] * 9)],  # with scores below
    "poly": [
        ({}, [1, 0.875**0.9, 0.75**0.9, None, 0.5**0.9, None, 0.25**0.9, None, 0]),
        ({"power": 2.0}, [1, None, 0.5625, None, 0.25, None, 0.0625, None, 0]),
    ],
    "step": [
        ({"every_epochs": 1}, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 1e-4]),
        ({"every_epochs": 3, "drop": 0.5}, [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5]),
    ],
}
NEEDED = {"step": {"every_epochs": 100}, "cosine_restarts": {"first_epochs": 200}}
MAY_RISE = {"one_cycle", "cosine_restarts"}


def schedule_of(name, options):
    return resolve(SCHEDULES, {"name": name, **options}, where="fine_tune.schedule")


def test_every_schedule_has_a_row():
    assert list(ROWS) == list(SCHEDULES)


@pytest.mark.parametrize(("name", "options", "factors"), [(n, o, f) for n, rows in ROWS.items() for o, f in rows])
def test_values_worked_out_by_hand(name, options, factors):
    schedule = schedule_of(name, options)
    found = [schedule(Moment(step, 8, steps_per_epoch=2)) for step in range(9)]
    assert len(factors) == len(found)
    pairs = [(ours, theirs) for ours, theirs in zip(found, factors, strict=True) if theirs is not None]
    assert [ours for ours, _ in pairs] == pytest.approx([theirs for _, theirs in pairs])


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in MAY_RISE])
def test_starts_at_one_and_never_grows(name):
    schedule = schedule_of(name, NEEDED.get(name, {}))
    factors = [schedule(Moment(step, 1000)) for step in range(1001)]
    assert factors[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors))
    assert factors[-1] >= 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_stays_between_zero_and_one(name):
    schedule = schedule_of(name, NEEDED.get(name, {}))
    assert all(0 <= schedule(Moment(step, 1000)) <= 1 for step in range(1001))


@pytest.mark.parametrize(
    ("options", "scores", "factor"),
    [
        ({}, [], 1),
        ({}, [0.1, 0.2, 0.2, 0.2, 0.2], 1),  # three epochs without improvement are borne
        ({}, [0.1, 0.2, 0.2, 0.2, 0.2, 0.2], 0.1),  # the fourth is not
        ({}, [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 0.1),  # and counting starts anew
        ({}, [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 0.01),
        ({}, [0.2, 0.1, 0.1, 0.1, 0.3, 0.1], 1),  # an improvement in time
        ({"patience_epochs": 0, "drop": 0.5}, [0.2, 0.1, 0.3, 0.1], 0.25),
        ({"patience_epochs": 2}, [None, 0.2, None, None], 1),  # what was not validated may have improved
        ({"patience_epochs": 2}, [None, 0.2, None, 0.2], 1),
        ({"patience_epochs": 2}, [None, 0.2, None, 0.2, None], 1),
        ({"patience_epochs": 2}, [None, 0.2, None, 0.2, None, 0.2], 0.1),
        ({"patience_epochs": 0, "drop": 0.5, "min_improvement": 0.05}, [0.2, 0.24, 0.26], 0.5),
    ],
)
def test_plateau_follows_the_scores(options, scores, factor):
    moment = Moment(len(scores), 100, scores=scores)
    assert schedule_of("plateau", options)(moment) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("warmup", "factors"),
    [
        ("linear", [0.25, 0.5, 0.75, 1]),
        ("constant", [0.1, 0.1, 0.1, 0.1]),
        ("exponential", [0.1**0.75, 0.1**0.5, 0.1**0.25, 1]),
    ],
)
def test_the_schedule_starts_where_the_warm_up_ends(warmup, factors):
    poly = schedule_of("poly", {"power": 1.0})
    found = [rate_factor_at(poly, n, epochs=4, steps_per_epoch=2, warmup_epochs=2, warmup=warmup) for n in range(8)]
    assert found == pytest.approx([*factors, 1.0, 0.75, 0.5, 0.25])
    assert rate_factor_at(poly, 0, epochs=4, steps_per_epoch=2, warmup_epochs=0, warmup=warmup) == 1


def test_params_know_every_warm_up():
    assert get_args(FineTune.model_fields["warmup"].annotation) == tuple(WARM_UPS) == get_args(Warmup)


def test_epochs_of_a_schedule_count_the_warm_up_and_periods_do_not():
    def factors(name, **options):
        schedule = schedule_of(name, options)
        return [rate_factor_at(schedule, n, epochs=4, steps_per_epoch=1, warmup_epochs=1) for n in range(4)]

    assert factors("step", every_epochs=2) == pytest.approx([1, 1, 0.1, 0.1])
    assert factors("multi_step", milestones=[3]) == pytest.approx([1, 1, 1, 0.1])
    assert factors("cosine_restarts", first_epochs=2) == pytest.approx([1, 1, 0.5, 1])


@pytest.mark.parametrize(
    ("spec", "epochs", "warmup_epochs", "message"),
    [
        ({"name": "step", "every_epochs": 12}, 12, 0, "a drop every 12 epochs never comes within 12"),
        ({"name": "multi_step", "milestones": [8, 12, 20]}, 12, 0, "no epoch follows milestone 12, 20"),
        ({"name": "cosine_restarts", "first_epochs": 11}, 12, 1, "first period of 11 epochs has no restart within 11"),
        ({"name": "plateau", "patience_epochs": 10}, 12, 1, "first drop can come in epoch 13, and there are 12"),
    ],
)
def test_a_schedule_longer_than_training_is_refused(spec, epochs, warmup_epochs, message):
    schedule = resolve(SCHEDULES, spec, where="fine_tune.schedule")
    with pytest.raises(
        GraftError, match=rf"(?s)fine_tune\.schedule {spec['name']}: .*{message}.*raise fine_tune\.epochs"
    ):
        refuse_too_long(schedule, epochs, warmup_epochs)
    refuse_too_long(schedule, 40, warmup_epochs)


def test_every_schedule_that_can_be_too_long_has_a_case_above():
    assert set(REASONS) == {"step", "multi_step", "cosine_restarts", "plateau"}


@pytest.mark.parametrize(("patience", "every", "needed"), [(10, 1, 13), (10, 3, 16), (0, 1, 3), (3, 2, 7), (4, 2, 9)])
def test_the_first_drop_of_plateau_comes_when_the_refusal_says(patience, every, needed):
    """Of as many epochs the last has a lower rate, of one fewer none has."""
    schedule = schedule_of("plateau", {"patience_epochs": patience})
    scores = [None if epoch % every else 0.5 for epoch in range(1, needed)]
    factors = [schedule(Moment(epoch, needed, scores=scores[:epoch])) for epoch in range(needed)]
    assert factors == pytest.approx([1] * (needed - 1) + [0.1])
    refuse_too_long(schedule, needed, 0, every)
    with pytest.raises(GraftError, match=rf"first drop can come in epoch {needed}, and there are {needed - 1}"):
        refuse_too_long(schedule, needed - 1, 0, every)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"name": "poly", "pover": 1.0}, "poly has no such option; did you mean 'power'"),
        ({"name": "exponential", "final_factor": 0.0}, "greater than 0"),
        ({"name": "multi_step", "milestones": [1.5]}, "less than 1"),
        ({"name": "multi_step", "milestones": [0.5, 3]}, "milestones"),
        ("step", "every_epochs: step needs this option"),
        ("cosine_restarts", "first_epochs: cosine_restarts needs this option"),
    ],
)
def test_what_cannot_be_used_is_said(spec, message):
    with pytest.raises(GraftError, match=r"fine_tune\.schedule") as error:
        resolve(SCHEDULES, spec, where="fine_tune.schedule")
    assert message in str(error.value)
