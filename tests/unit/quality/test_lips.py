from __future__ import annotations

import numpy as np
import pytest

from lipserve.quality import lips


def mesh(opening: float, eyes: float = 100.0) -> np.ndarray:
    """A mesh [468, 2] of which only what is measured is set; pixels."""
    points = np.zeros((468, 2))
    points[33], points[263] = (-eyes / 2, 0), (eyes / 2, 0)
    points[13], points[14] = (0, 60), (0, 60 + opening)
    points[0], points[17] = (0, 55), (0, 65 + opening)
    points[1], points[152] = (0, 30), (0, 90 + opening)
    points[61], points[291] = (-20, 62), (20, 62)
    return points


def test_measures_are_lengths_over_the_distance_of_the_eyes() -> None:
    series = np.stack([mesh(opening) for opening in (0, 10, 20)])
    expected = [[0, 0.1, 0.6, 0.4], [0.1, 0.2, 0.7, 0.4], [0.2, 0.3, 0.8, 0.4]]
    np.testing.assert_allclose(lips.measure(series), expected, atol=1e-12)


def test_size_place_and_turn_of_the_face_do_not_matter() -> None:
    series = np.stack([mesh(opening) for opening in (0, 5, 10, 20, 3)])
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(
        lips.measure(2.5 * series @ turn.T + [70, -9]), lips.measure(series), atol=1e-12
    )


def test_one_jump_of_the_eyes_does_not_move_the_measure() -> None:
    series = np.stack([mesh(10)] * 20)
    series[10] = mesh(10, eyes=150)
    np.testing.assert_allclose(lips.measure(series)[:, 0], 0.1, atol=1e-12)


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (2, 200))
    assert lips.correlation(a, a + b) == pytest.approx(np.corrcoef(a, a + b)[0, 1], abs=1e-12)
    assert lips.correlation(a, -2 * a + 5) == pytest.approx(-1)
    assert lips.correlation(a, np.full(200, 0.3)) == 0.0


@pytest.mark.parametrize("lag", [-5, -1, 0, 3, 5])
def test_the_lag_is_positive_where_the_first_comes_later(lag: int) -> None:
    signal = np.random.default_rng(1).normal(0, 1, 120)
    first, second = signal[10 - lag : 90 - lag], signal[10:90]
    assert lips.best_lag(first, second) == (pytest.approx(1.0), lag)


def test_of_equal_lags_the_smallest_is_taken() -> None:
    assert lips.best_lag(np.zeros(50), np.zeros(50)) == (0.0, 0)


def test_shifted_parts_have_one_length_and_overlap() -> None:
    series = np.arange(20.0)
    for lag in (-7, 0, 7):
        a, b = lips.shifted(series + lag, series, lag)
        assert len(a) == len(b) == 20 - abs(lag)
        np.testing.assert_array_equal(a, b + 2 * lag)


def test_the_median_filter_takes_out_spikes_and_holds_its_ends() -> None:
    values = np.array([5.0, 1, 1, 1, 9, 1, 1, 1, 7])
    np.testing.assert_array_equal(lips.median_filter(values, 3), [5, 1, 1, 1, 1, 1, 1, 1, 7])
