"""Every average of the weights against values worked out by hand, and the average that a training keeps."""

from __future__ import annotations

import copy

import pytest
import torch

from graft.foundation.choices import resolve
from graft.training.average import Average
from graft.training.averaging import AVERAGINGS, MEASURED

# name: [(options, shares that stay at steps 0 … 7 of 8)]
ROWS = {
    "ema": [
        ({"decay": 0.25}, [0.1, 2 / 11, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]),  # 1/10, 2/11, and 3/12 is the limit
        ({}, [0.1, 2 / 11, 0.25, 4 / 13, 5 / 14, 0.4, 7 / 16, 8 / 17]),
        ({"warmup": 1, "decay": 0.9}, [0.9] * 8),
        ({"warmup": 3, "decay": 0.7}, [1 / 3, 0.5, 0.6, 4 / 6, 0.7, 0.7, 0.7, 0.7]),
    ],
    "none": [({}, [0.0] * 8)],
    "swa": [
        ({}, [0, 0, 0, 0, 0, 0, 0, 1 / 2]),  # the mean of the last two
        ({"last_fraction": 0.5}, [0, 0, 0, 0, 0, 1 / 2, 2 / 3, 3 / 4]),
        ({"last_fraction": 1.0}, [0, 1 / 2, 2 / 3, 3 / 4, 4 / 5, 5 / 6, 6 / 7, 7 / 8]),
        ({"last_fraction": 0.05}, [0.0] * 8),  # less than a step
    ],
}


def averaging_of(name, options):
    return resolve(AVERAGINGS, {"name": name, **options}, where="fine_tune.averaging")


def test_every_averaging_has_a_row():
    assert list(ROWS) == list(AVERAGINGS)
    assert set(MEASURED) < set(AVERAGINGS)


@pytest.mark.parametrize(("name", "options", "shares"), [(n, o, s) for n, rows in ROWS.items() for o, s in rows])
def test_values_worked_out_by_hand(name, options, shares):
    averaging = averaging_of(name, options)
    assert [averaging(step, 8) for step in range(8)] == pytest.approx(shares)
    assert averaging(100_000, 100_001) <= 1


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("swa", {"last_fraction": 0.5}, (3 + 4) / 2),
        ("swa", {"last_fraction": 1.0}, (1 + 2 + 3 + 4) / 4),
        ("none", {}, 4.0),
        # 1 of its start 0 has faded to 1/10: 0.9; then 2/11 · 0.9 + 9/11 · 2, 1/4 of it and 3/4 · 3, 4/13 and 9/13 · 4
        ("ema", {}, 4 / 13 * (0.25 * (2 / 11 * 0.9 + 9 / 11 * 2) + 0.75 * 3) + 9 / 13 * 4),
    ],
)
def test_the_average_of_weights_that_count_to_four(name, options, expected):
    layer = torch.nn.BatchNorm1d(1)
    layer.weight.data.zero_()
    average = Average(layer, averaging_of(name, options))
    for step in range(4):
        layer.weight.data += 1
        layer.running_mean.fill_(2 * layer.weight.item())
        layer.num_batches_tracked += 1
        average.update(layer, step, 4)
    assert average.model.weight.item() == pytest.approx(expected)
    assert average.model.running_mean.item() == pytest.approx(2 * expected)
    assert average.model.num_batches_tracked.item() == 4
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_what_stays_nothing_of_is_the_weights_to_the_last_bit():
    layer = torch.nn.Linear(50, 50)
    average = Average(copy.deepcopy(layer), averaging_of("swa", {}))
    layer.weight.data.normal_(generator=torch.Generator().manual_seed(1)).mul_(1e-3)
    average.update(layer, 0, 8)
    assert torch.equal(average.model.weight, layer.weight)
    assert not average.needs_statistics
