from __future__ import annotations

import time

from graft.foundation.progress import progress, seconds_in_loops


def test_time_in_loops_counts_each_moment_once() -> None:
    before, started = seconds_in_loops(), time.perf_counter()
    for _ in progress(range(2), "Outer"):
        for _ in progress(range(2), "Inner"):
            time.sleep(0.01)
    elapsed = time.perf_counter() - started
    time.sleep(0.01)
    assert 0.04 <= seconds_in_loops() - before <= elapsed


def test_a_loop_that_is_left_early_has_ended() -> None:
    before = seconds_in_loops()
    for _ in progress(range(9), "Left"):
        break
    between = seconds_in_loops()
    for _ in progress(range(2), "Next"):
        time.sleep(0.01)
    assert between >= before
    assert seconds_in_loops() - between >= 0.02


def test_off_a_terminal_a_loop_ends_in_one_plain_line(capsys) -> None:
    assert list(progress(range(3), "Reading images", unit="image")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Reading images: 3/3 image at ")
