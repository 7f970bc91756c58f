"""Presentation times where the file's own timestamps do not tell them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.files.clock import counted, joined

STEP, JUMP = 40, 10_000.0  # ms


def _pts(frames: int, first: int = 0, group: int = 12) -> tuple[list[int], list[bool]]:
    """Return timestamps in decoding order and keys: I, then P B B three by three, in groups of pictures."""
    order, keys = [], []
    for begin in range(0, frames, group):
        rest = list(range(begin + 1, min(begin + group, frames)))
        order.append(begin)
        keys.append(True)
        for place in range(0, len(rest), 3):
            three = rest[place : place + 3]
            order += [three[-1], *three[:-1]]
            keys += [False] * len(three)
    return [first + STEP * number for number in order], keys


def _joined(*parts: tuple[list[int], list[bool]]) -> tuple[np.ndarray, int]:
    pts = np.array([at for part in parts for at in part[0]], np.int64)
    key = np.array([mark for part in parts for mark in part[1]], np.bool_)
    return joined(pts, key, STEP, JUMP)


@pytest.mark.parametrize("second", [0, -700, 600, 2300, 2_000_000, -2_000_000, 9_000_000_000])
def test_a_part_follows_the_one_before_it_by_a_frame(second: int) -> None:
    times, restarts = _joined(_pts(60, 1400), _pts(50, second))
    assert restarts == 1
    assert np.sort(times).tolist() == [1400 + STEP * number for number in range(110)]
    assert times[60] == 1400 + 60 * STEP


@pytest.mark.parametrize("frames", [2, 5, 13])
def test_a_part_as_short_as_a_decoders_delay_is_found_by_its_key_frame(frames: int) -> None:
    times, restarts = _joined(_pts(frames), _pts(frames), _pts(frames))
    assert restarts == 2
    assert np.sort(times).tolist() == [STEP * number for number in range(3 * frames)]


def test_one_clock_stays_as_it_is() -> None:
    pts, key = _pts(100, 5000)
    times, restarts = _joined((pts, key))
    assert restarts == 0
    assert times.tolist() == pts
    held = [at + (9_000 if at > 6000 else 0) for at in pts]  # a picture that is held for nine seconds
    assert _joined((held, key))[1] == 0


def test_the_frames_before_a_key_frame_in_an_open_group_stay_with_their_part() -> None:
    # I0 P3 B1 B2 | I6, whose clock is another, then B4 B5 of the old one, P9 B7 B8.
    pts = [0, 120, 40, 80, 500_240, 160, 200, 500_360, 500_280, 500_320]
    times, restarts = joined(np.array(pts), np.array([True, *[False] * 3, True, *[False] * 5]), STEP, JUMP)
    assert restarts == 1
    assert (np.sort(times) == np.arange(10) * STEP).all()
    assert times[4] == 6 * STEP


def test_timestamps_as_large_as_they_come_do_not_wrap() -> None:
    pts = np.array([2**62, 2**62 + 40, -(2**62), -(2**62) + 40], np.int64)
    times, restarts = joined(pts, np.array([True, False, True, False]), STEP, JUMP)
    assert (times - times[0]).tolist() == [0, 40, 80, 120]
    assert restarts == 1


def test_a_hundred_thousand_restarts_cost_no_more_than_their_packets() -> None:
    pts = np.zeros(200_000, np.int64)
    pts[1::2] = 40
    times, restarts = joined(pts, pts == 0, STEP, JUMP)
    assert restarts == 99_999
    assert (np.diff(times) == STEP).all()


def test_decoding_times_count_frames_where_only_some_packets_are_stamped() -> None:
    pts = [None, None, 80, 120, None, 200, 240]
    dts = [0, 40, 80, 120, 160, 200, 240]
    times, restarts = counted(pts, dts, STEP, JUMP)
    assert (times.tolist(), restarts) == (dts, 0)
    assert counted(pts, [0, 40, 80, 0, 40, 80, 120], STEP, JUMP)[1] == 1


def test_missing_timestamps_lie_between_before_and_after_those_that_are_there() -> None:
    none = [None] * 9
    times, _ = counted([80, 120, None, 160, 200, None, None, 320, None], none, STEP, JUMP)
    assert times.tolist() == [80, 120, 140, 160, 200, 240, 280, 320, 360]
    # I N, P N, B N, B 40: the first three lie before it, whatever their places.
    assert counted([None, None, None, 40, 160], none[:5], STEP, JUMP)[0].tolist() == [-80, -40, 0, 40, 160]
    assert counted([None, 120, None, 80, 160], none[:5], STEP, JUMP)[0].tolist() == [0, 40, 80, 120, 160]
    assert counted(none, none, STEP, JUMP)[0].tolist() == [STEP * number for number in range(9)]
    assert counted([], [], STEP, JUMP)[0].tolist() == []


@given(st.lists(st.none() | st.integers(-(10**9), 10**9), max_size=40), st.data())
def test_whatever_the_stamps_the_times_of_counted_frames_never_fall(
    pts: list[int | None], data: st.DataObject
) -> None:
    dts = data.draw(st.lists(st.none() | st.integers(-(10**9), 10**9), min_size=len(pts), max_size=len(pts)))
    times, _ = counted(pts, dts, STEP, JUMP)
    assert len(times) == len(pts)
    assert (np.diff(times) >= 0).all()
