"""Agreement of lips and speech: the mouth that the speech asks for against the mouth that the mesh shows.

The networks of the tier `lipwarp` turn a speech to lip shapes, and what each direction of a shape does to the
mesh turns shapes to lip measures. The score is Pearson's correlation of both, the mean of the four measures;
the lag with the highest score is the offset. A positive lag: the lips come later than the sound.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lipserve.leaves import Leaves
from lipserve.lipwarp import speech
from lipserve.lipwarp.shapes import shipped_basis
from lipserve.quality.lips import FPS, MAX_LAG, MEASURES, Series, measured
from lipserve.verdict import Verdict, best

STILL = 0.005  # of the eye distance: a sound that moves the lips less asks for nothing

_N, _X, _Y, _XX, _YY, _XY = range(6)


def wanted(
    leaves: Leaves,
    samples: NDArray[np.float32],
    first_sample: int,
    total_samples: int,
    peak: float,
    frames: NDArray[np.int64],
    fps: Fraction = Fraction(FPS),
) -> Series:
    """Return the lip measures [F, 4], up to a constant each, that a speech asks for in the given frames.

    Args:
        samples, first_sample, total_samples, peak, frames, fps: of `lipserve.lipwarp.speech.heard`.
    """
    return asked_lips(speech.heard(leaves, samples, first_sample, total_samples, peak, frames, fps, 0.0))


def asked_lips(shapes: NDArray[np.float32]) -> Series:
    """Return the lip measures [F, 4], up to a constant each, of lip shapes [F, 8]."""
    return np.asarray(shapes.astype(np.float64) @ _measures())


@cache
def _measures() -> Series:
    return measured(shipped_basis())


class Sums:
    """The sums from which the correlation at every lag follows; they grow part by part, and add up.

    Args:
        max_lag: frames, on both sides.
        centre: lip measures [4] near those that will come, which keeps the sums exact; those of sums that are
            added must be the same.
    """

    def __init__(self, max_lag: int, centre: Series) -> None:
        self._max_lag, self._centre = max_lag, centre
        self._values = np.zeros((6, 2 * max_lag + 1, len(MEASURES)))

    @property
    def count(self) -> int:
        """Frames compared at lag 0."""
        return int(self._values[_N, self._max_lag, 0])

    def add(self, lips: Series, frames: NDArray[np.int64], asked: Series, asked_first: int) -> None:
        """Add lips [F, 4] of some frames [F], and what a speech asks for [G, 4].

        Args:
            asked_first: frame of the first row of `asked`, which should reach `max_lag` frames farther than
                the lips on both sides; pairs whose other half is missing, or no number, are left out.
        """
        for place, lag in enumerate(range(-self._max_lag, self._max_lag + 1)):
            at = frames - lag - asked_first
            inside = (at >= 0) & (at < len(asked))
            y = asked[at[inside]]
            known = np.isfinite(y[:, 0])
            x, y = lips[inside][known] - self._centre, y[known]
            self._values[_N, place] += len(x)
            self._values[_X:, place] += np.stack([a.sum(0) for a in (x, y, x * x, y * y, x * y)])

    def like(self) -> Sums:
        """Return empty sums that may be added to these."""
        return Sums(self._max_lag, self._centre)

    def __add__(self, other: Sums) -> Sums:
        out = self.like()
        out._values = self._values + other._values
        return out

    def curve(self) -> NDArray[np.float64]:
        """Return the score at every lag [2 max_lag + 1], the most negative first; 0 where nothing moves."""
        n = np.maximum(self._values[_N], 1.0)
        x, y, xx, yy, xy = self._values[_X:] / n
        power = np.sqrt(np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0))
        moves = n * power > 1e-12
        scores = np.where(moves, (xy - x * y) / np.where(moves, power, 1.0), 0.0)
        return np.asarray(scores.mean(1))

    @property
    def asks(self) -> bool:
        """Whether the speech asks the lips to move at all."""
        n = max(self._values[_N, self._max_lag, 0], 1.0)
        y, yy = self._values[_Y, self._max_lag, 0] / n, self._values[_YY, self._max_lag, 0] / n
        return bool(np.sqrt(max(yy - y * y, 0.0)) >= STILL)

    def verdict(self) -> Verdict:
        """Return how well lips and speech fit; what is no speech fits nothing."""
        if not self.asks:
            return Verdict(0.0, 0, 0.0)
        return best(self.curve().tolist())


def judge(lips: Series, asked: Series, max_lag: int = MAX_LAG) -> Verdict:
    """Return how well the lips [F, 4] fit what a speech asks for in the same frames [F, 4]."""
    sums = Sums(max_lag, lips[0])
    sums.add(lips, np.arange(len(lips)), asked, 0)
    return sums.verdict()
