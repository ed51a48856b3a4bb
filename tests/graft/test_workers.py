"""Mapping on every core: in order, and a killed worker is an answer."""

from __future__ import annotations

import os
import signal

import pytest

from graft.foundation.errors import GraftError
from graft.foundation.workers import map_in_order


def squared(number: int) -> int:
    return number * number


def killed_at_fifty(number: int) -> int:
    if number == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order() -> None:
    assert list(map_in_order(squared, range(100), num_items=100, num_workers=2)) == [n * n for n in range(100)]


def test_a_killed_worker_is_answered() -> None:
    with pytest.raises(GraftError, match="a worker process was killed, as the system does when memory runs out"):
        list(map_in_order(killed_at_fifty, range(100), num_items=100, num_workers=2))
