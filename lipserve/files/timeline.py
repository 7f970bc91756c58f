"""From the timestamps of a video to its constant grid: grid frame j is seen from start + j / fps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Ticks = NDArray[np.int64]

STILL_RATE = Fraction(25)  # frames a second that an image is shown at
MIN_RATE, MAX_RATE = 10, 60  # of a grid; slower is a slide show, whose pictures repeat on that of a still
STANDARD_RATES = (
    *(Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30_000, 1001)),
    *(Fraction(30), Fraction(50), Fraction(60_000, 1001), Fraction(60)),
)
_MOMENT = Fraction(9, 20)  # of a grid frame
_SNAP = 0.02  # share of the rate within which a measured rate is taken for a standard one
_REGULAR = 0.3  # of a frame: how far timestamps of a standard constant rate may be off (rounded to ms, say)
_EVEN = 0.1  # of a frame: the same for any other rate, which a mean always is


@dataclass(frozen=True)
class Timeline:
    """The constant grid of a video.

    Attributes:
        fps, frames: of the grid. A source above 60 frames a second is thinned by the smallest whole number
            that brings it to 60 or below (120 -> 60, 100 -> 50, 144 -> 48), so that its motion stays even.
        variable: the timestamps are not evenly spaced, or too far apart for lips (below 10 a second), and
            are resampled to the grid.
    """

    fps: Fraction
    frames: int
    variable: bool


class Grid:
    """Which timestamp is seen on which grid frame.

    Grid frame j shows the last frame presented no later than about the middle of its time,
    `start + (j + 0.45) / fps`: timestamps rounded to milliseconds still fall in their own grid frame. It is
    not the middle itself, on which every other frame of a source of 120 a second falls, now early, now late.
    """

    def __init__(self, start: Fraction, fps: Fraction, tick: Fraction) -> None:
        """Hold the exact arithmetic in integers; `start` and `tick` are seconds."""
        scale, offset = tick * fps, start * fps + _MOMENT
        self._den = math.lcm(scale.denominator, offset.denominator)
        self._scale = int(scale * self._den)
        self._offset = int(offset * self._den)

    def earliest(self, pts: int | Fraction) -> int:
        """Return the first grid frame that may show a frame presented at `pts` ticks."""
        return -int((self._offset - pts * self._scale) // self._den)

    def latest(self, frame: int) -> int:
        """Return the last timestamp in ticks that grid frame `frame` may show: the inverse."""
        return (frame * self._den + self._offset) // self._scale


def choose_grid(
    times: Ticks, tick: Fraction, last_duration: int, declared: list[Fraction | None]
) -> Timeline:
    """Return the grid of frames presented at `times`.

    Args:
        times: int64 [N], N >= 1, sorted, in ticks.
        tick: seconds of one.
        last_duration: of the last frame, in ticks; 0: unknown.
        declared: what the container says of its rate, the most trusted first.
    """
    if len(times) == 1 or times[-1] == times[0]:
        return Timeline(STILL_RATE, 1, False)
    seconds = (times - times[0]).astype(np.float64) * float(tick)
    rate = next((rate for rate in _candidates(seconds, declared) if _fits(seconds, rate, float(tick))), None)
    if rate is not None and rate >= MIN_RATE:
        thin = _thinning(rate)
        return Timeline(rate / thin, max(1, round(len(times) / thin)), False)
    rate = _nominal(seconds)
    length = seconds[-1] + _last_seconds(seconds, last_duration * float(tick))
    return Timeline(rate, max(1, round(length * float(rate))), True)


def _candidates(seconds: NDArray[np.float64], declared: list[Fraction | None]) -> Iterator[Fraction]:
    yield from (rate for rate in declared if rate is not None and rate > 0)
    mean = (len(seconds) - 1) / seconds[-1]
    yield from sorted(STANDARD_RATES, key=lambda rate: abs(mean / float(rate) - 1))
    yield Fraction(mean).limit_denominator(100_000)


def _fits(seconds: NDArray[np.float64], rate: Fraction, tick: float) -> bool:
    error = np.abs(seconds * float(rate) - np.arange(len(seconds)))
    allowed = _REGULAR if rate in STANDARD_RATES else _EVEN + tick * float(rate)
    return bool(error.max() <= min(allowed, _REGULAR))


def _nominal(seconds: NDArray[np.float64]) -> Fraction:
    gaps = np.diff(seconds)
    typical = 1 / float(np.median(gaps[gaps > 0]))
    nearest = min(STANDARD_RATES, key=lambda rate: abs(typical / float(rate) - 1))
    if abs(typical / float(nearest) - 1) < _SNAP:
        return nearest
    mean = Fraction((len(seconds) - 1) / seconds[-1]).limit_denominator(1001)
    return STILL_RATE if mean < MIN_RATE else mean / _thinning(mean)


def _thinning(rate: Fraction) -> int:
    return -(-rate // MAX_RATE)


def _last_seconds(seconds: NDArray[np.float64], declared: float) -> float:
    """Return how long the last frame lasts: as declared, unless that is no length of a frame."""
    gaps = np.diff(seconds)
    typical = float(np.median(gaps[gaps > 0]))
    return declared if 0.2 * typical <= declared <= max(1.0, 2 * typical) else typical
