"""Timestamps to a constant grid."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.files.timeline import STANDARD_RATES, Grid, Timeline, choose_grid

MILLISECOND = Fraction(1, 1000)


def _regular(rate: Fraction, count: int, tick: Fraction, start: int = 0) -> np.ndarray:
    return np.array([start + round(i / rate / tick) for i in range(count)], np.int64)


@pytest.mark.parametrize("rate", STANDARD_RATES)
def test_a_constant_rate_is_found_exactly_in_timestamps_rounded_to_milliseconds(rate: Fraction) -> None:
    grid = choose_grid(_regular(rate, 1000, MILLISECOND, start=1234), MILLISECOND, 0, [])
    assert (grid.fps, grid.frames, grid.variable) == (rate, 1000, False)


def test_the_rate_that_the_container_declares_wins_where_it_fits() -> None:
    declared = Fraction(179, 6)
    times = _regular(declared, 1200, Fraction(1, 11_456))
    assert choose_grid(times, Fraction(1, 11_456), 384, [declared]).fps == declared
    # A rate that drifts away from the timestamps is a wrong one.
    assert choose_grid(_regular(Fraction(25), 1200, MILLISECOND), MILLISECOND, 40, [Fraction(30)]).fps == 25


@pytest.mark.parametrize(
    ("rate", "expected", "frames"),
    [(120, 60, 300), (100, 50, 300), (144, 48, 200), (240, 60, 150), (61, 30.5, 300)],
)
def test_above_sixty_frames_a_second_the_grid_is_thinned_evenly(
    rate: int, expected: float, frames: int
) -> None:
    grid = choose_grid(_regular(Fraction(rate), 600, Fraction(1, 90_000)), Fraction(1, 90_000), 0, [])
    assert float(grid.fps) == pytest.approx(expected, rel=1e-5)
    assert (grid.frames, grid.variable) == (frames, False)


def test_a_variable_rate_takes_the_standard_rate_nearest_to_its_median_gap_and_keeps_the_duration() -> None:
    times = _regular(Fraction(30), 300, MILLISECOND)
    kept = np.delete(times, np.arange(10, 290, 7))  # frames left out here and there
    grid = choose_grid(kept, MILLISECOND, 33, [])
    assert (grid.fps, grid.frames, grid.variable) == (30, 300, True)


def test_an_odd_variable_rate_takes_its_mean_and_a_slide_show_that_of_a_still() -> None:
    times = np.cumsum([0] + [70, 75, 71, 200, 52, 71] * 20).astype(np.int64)  # ms, 14 a second with pauses
    grid = choose_grid(times, MILLISECOND, 71, [])
    assert grid.variable
    assert float(grid.fps) == pytest.approx(120 / (times[-1] / 1000), rel=1e-3)
    assert grid.frames / float(grid.fps) == pytest.approx((times[-1] + 71) / 1000, abs=0.5 / float(grid.fps))
    slides = np.array([0, 4000, 5000, 12_000], np.int64)
    assert choose_grid(slides, MILLISECOND, 1000, []).fps == 25
    assert choose_grid(slides, MILLISECOND, 1000, []).frames == 13 * 25


@pytest.mark.parametrize("times", [[17], [3, 3]])
def test_one_moment_is_a_still(times: list[int]) -> None:
    grid = choose_grid(np.array(times, np.int64), MILLISECOND, 0, [Fraction(30)])
    assert (grid.fps, grid.frames) == (25, 1)


@given(
    start=st.fractions(-10, 10, max_denominator=90_000),
    fps=st.sampled_from([*STANDARD_RATES, Fraction(179, 6), Fraction(1)]),
    tick=st.sampled_from([MILLISECOND, Fraction(1, 12_800), Fraction(1, 90_000), Fraction(1, 634_068)]),
    frame=st.integers(0, 10_000_000),
)
def test_latest_and_earliest_are_inverse(start: Fraction, fps: Fraction, tick: Fraction, frame: int) -> None:
    grid = Grid(start, fps, tick)
    latest = grid.latest(frame)
    assert latest * tick <= start + (frame + Fraction(9, 20)) / fps < (latest + 1) * tick
    assert grid.earliest(latest) <= frame < grid.earliest(latest + 1)
    assert grid.earliest(Fraction(latest)) == grid.earliest(latest)


def test_a_slide_show_repeats_its_pictures_at_25_a_second() -> None:
    grid = choose_grid(np.arange(6, dtype=np.int64) * 1000, Fraction(1, 1000), 1000, [Fraction(1)])
    assert grid == Timeline(Fraction(25), 150, True)
    slow = choose_grid(np.arange(3, dtype=np.int64) * 10_000, Fraction(1, 1000), 10_000, [Fraction(1, 10)])
    assert slow == Timeline(Fraction(25), 750, True)
