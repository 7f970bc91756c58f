"""Which frames of a request are measured."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipserve.quality.mouths import Rhythm


@pytest.mark.parametrize(
    ("fps", "count", "lips", "looks"),
    [
        (Fraction(25), 124, 6, 24),
        (Fraction(25), 125, 12, 24),
        (Fraction(30_000, 1001), 60, 7, 28),
        (Fraction(30_000, 1001), 600, 15, 30),
        (Fraction(1), 3, 1, 4),
    ],
)
def test_short_requests_are_sampled_twice_as_often(fps: Fraction, count: int, lips: int, looks: int) -> None:
    assert Rhythm.of(fps, count) == Rhythm(lips, looks)


def test_lips_are_measured_in_rhythm_and_looks_in_three_frames_each() -> None:
    rhythm, frames = Rhythm(12, 24), np.arange(250, 280, dtype=np.int32)
    assert frames[rhythm.looks_at(frames)].tolist() == [263, 264, 265]
    assert frames[rhythm.near(frames)].tolist() == [252, 263, 264, 265, 276]
    assert frames[rhythm.near(frames, stop=265)].tolist() == [252, 263, 264]
