"""The parts that predictions for videos are made of: threads, orientation, smoothing, flicker."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from graft.data.video.clock import Clock
from graft.data.video.containers import bare_address, is_live_address
from graft.data.video.image_sequence import natural_key
from graft.data.video.orientation import ONE, read_orientation
from graft.deployment.video.smoothing import Smoothing
from graft.foundation.threads import ReadAhead, WriteBehind
from graft.metrics.flicker import Flicker, still_pixels


def test_reading_ahead_goes_no_further_than_its_depth() -> None:
    taken: list[int] = []
    with ReadAhead((taken.append(number) or number for number in range(100)), 3) as items:
        for number in items:
            time.sleep(0.005)
            assert len(taken) <= number + 1 + 3 + 1  # the one at hand, those that wait, one in the thread's hand
    assert taken == [*range(100)]


def test_an_error_while_reading_comes_after_the_items_before_it() -> None:
    def items():
        yield from (1, 2)
        raise ValueError("torn")

    seen: list[int] = []
    with ReadAhead(items(), 4) as ahead, pytest.raises(ValueError, match="torn"):
        seen.extend(ahead)
    assert seen == [1, 2]


def test_reading_stops_when_told_to_even_where_nothing_comes() -> None:
    released = threading.Event()

    def items():
        yield 1
        released.wait(10)
        yield 2

    seen = []
    with ReadAhead(items(), 4) as ahead:
        for item in ahead:
            seen.append(item)
            ahead.stop()
    released.set()
    assert seen == [1]


def test_what_comes_faster_than_it_is_taken_is_dropped_where_that_is_asked_for() -> None:
    all_offered = threading.Event()

    def items():
        yield from range(10)
        all_offered.set()

    with ReadAhead(items(), 3, drop=True) as ahead:
        assert all_offered.wait(5)
        assert [*ahead] == [0, 1, 2]
        assert ahead.num_dropped == 7


def test_writing_behind_writes_all_in_order_and_raises_what_went_wrong() -> None:
    written: list[int] = []
    with WriteBehind(written.append, 2) as behind:
        for number in range(20):
            behind.put(number)
    assert written == [*range(20)]

    def fail(number: int) -> None:
        raise OSError(28, "full")

    def put_all() -> None:
        with WriteBehind(fail, 2) as behind:
            for number in range(20):
                behind.put(number)

    with pytest.raises(OSError, match="full"):
        put_all()


def test_names_are_sorted_as_people_count() -> None:
    names = ["b2", "a10", "a9.5", "a9", "A1", "a09"]
    assert [path.name for path in sorted(map(Path, names), key=natural_key)] == ["A1", "a09", "a9", "a9.5", "a10", "b2"]


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "upright"),
    [
        (1, 0, 0, 1, [[1, 2, 3], [4, 5, 6]]),
        (0, 1, -1, 0, [[4, 1], [5, 2], [6, 3]]),  # column p, row q go to (-q, p): a quarter turn clockwise
        (0, -1, 1, 0, [[3, 6], [2, 5], [1, 4]]),
        (-1, 0, 0, -1, [[6, 5, 4], [3, 2, 1]]),
        (-1, 0, 0, 1, [[3, 2, 1], [6, 5, 4]]),  # a mirror, as of the camera above a screen
        (0, 1, 1, 0, [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_a_display_matrix_turns_and_mirrors(a: int, b: int, c: int, d: int, upright: list[list[int]]) -> None:
    orientation = read_orientation(struct.pack("<9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30))
    image = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None]
    np.testing.assert_array_equal(orientation.apply(image)[..., 0], upright)
    assert orientation.is_exact


def test_a_turn_by_other_angles_is_not_followed() -> None:
    orientation = read_orientation(struct.pack("<9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30))
    assert not orientation
    assert not orientation.is_exact


def test_smoothing_is_the_exponential_average_of_softmax() -> None:
    """Logits (ln 3, 0) are probabilities (0.75, 0.25); the past weighs 0.6."""
    smoothing = Smoothing(0.6)
    first = smoothing.add(np.log(np.array([3, 1], np.float32))[:, None, None]).copy()
    second = smoothing.add(np.log(np.array([1, 3], np.float32))[:, None, None])
    np.testing.assert_allclose(first[:, 0, 0], [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(second[:, 0, 0], [0.6 * 0.75 + 0.4 * 0.25, 0.6 * 0.25 + 0.4 * 0.75], rtol=1e-6)


def test_flicker_counts_changes_of_class_where_the_image_stays() -> None:
    before = np.zeros((1, 4, 3), np.uint8)
    now = before.copy()
    now[0, 0, 1], now[0, 1, 2] = 3, 4  # within, and beyond
    still = still_pixels(before, now)
    np.testing.assert_array_equal(still, [[True, False, True, True]])
    flicker = Flicker()
    assert np.isnan(flicker.share)
    flicker.add(still, np.array([[0, 0, 1, 1]]), np.array([[0, 1, 2, 1]]))
    assert (flicker.share, flicker.still_fraction) == (1 / 3, 3 / 4)
    flicker.add(still, np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]))
    assert flicker.share == 1 / 6


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://admin:secret@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://admin:p@ssw0rd@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:pa/ss@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:p@s/w@rd@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:who?me@cam/live", "rtsp://cam/live"),
        ("rtsp://token@cam/live", "rtsp://cam/live"),
        ("http://cam/v?user=admin&pwd=secret", "http://cam/v"),
        ("http://cam/v?user=me@home.org&pwd=secret", "http://cam/v"),
        ("srt://cam:9000?passphrase=secret", "srt://cam:9000"),
        ("http://cam/@north/live", "http://cam/@north/live"),
        ("clips/me@home?.mp4", "clips/me@home?.mp4"),
    ],
)
def test_an_address_is_shown_without_user_password_and_query(address: str, shown: str) -> None:
    assert bare_address(address) == shown


def test_times_grow_where_stamps_are_missing_equal_or_in_disorder() -> None:
    clock = Clock(40)
    assert [clock.place(stamp) for stamp in (100, 140, None, 180, 260, 220, 300)] == [0, 40, 80, 81, 160, 161, 200]
    assert (clock.num_mended, clock.num_set_back) == (2, 0)


def test_a_clock_that_is_set_back_goes_on_one_interval_after_the_last_frame() -> None:
    clock = Clock(40)
    stamps = [100, 140, 5000, 5040, 100, 140, 220, 9000, 0, 40]
    assert [clock.place(stamp) for stamp in stamps] == [0, 40, 4900, 4940, 4980, 5020, 5100, 13880, 13920, 13960]
    assert (clock.num_mended, clock.num_set_back) == (0, 2)


def test_only_schemes_of_cameras_are_live() -> None:
    for live in (
        "rtsp://cam/live",
        "RTSP://cam/live",
        "rtmp://host/app/key",
        "srt://cam:9000",
        "udp://@239.0.0.1:1234",
    ):
        assert is_live_address(live), live
    for patient in ("http://cam/mjpeg", "https://cam/live.m3u8", "tcp://cam:9000", "clips/rtsp.mp4"):
        assert not is_live_address(patient), patient
