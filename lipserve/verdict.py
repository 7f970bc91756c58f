"""Verdicts on the agreement of lips and speech: what scores over offsets say, and what chance reaches.

The score is a correlation; a positive lag: the lips come later than the sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONG = 300  # frames: shorter clips need more than the least score, longer ones less, as chance does
LEAST = 0.2  # score of a clip of LONG frames, 2.1 deviations of a wrong sound's
DOUBT = 0.1  # of correlation: another offset that is better by less leaves zero where it is
BELIEF = 5.0  # over the root of the frames: the score that an offset other than zero needs


@dataclass(frozen=True)
class Verdict:
    """Mean correlation over the lip measures at the best lag, that lag in frames, and the one at lag 0.

    A positive lag: the lips come later than the sound.
    """

    score: float
    lag: int
    at_zero: float

    def believed(self, frames: float) -> int:
        """Return the lag, or 0 where the lag is not clearly better, or not far better than chance.

        Args:
            frames: that were compared, counted at 25 fps.
        """
        clear = self.score - DOUBT >= self.at_zero and self.score >= BELIEF / max(frames, 1.0) ** 0.5
        return self.lag if clear else 0


def best(curve: Sequence[float]) -> Verdict:
    """Return the verdict of scores at the lags -L .. L; of equal ones the smallest lag is taken."""
    middle = len(curve) // 2
    lag = max(range(-middle, middle + 1), key=lambda lag: (curve[middle + lag], -abs(lag)))
    return Verdict(float(curve[middle + lag]), lag, float(curve[middle]))


def least(frames: float, least: float = LEAST) -> float:
    """Return the score that a clip of so many frames at 25 fps needs.

    Wrong sounds have scores around zero that deviate by about 1.6 / sqrt(frames).

    Args:
        least: score of a clip of LONG frames.
    """
    return least * (LONG / max(frames, 1.0)) ** 0.5 if least > 0 else least


def needed(frames: float, lag: int) -> float:
    """Return the score that so many frames at 25 fps need at a lag: more where it was looked for."""
    return max(least(frames), BELIEF / max(frames, 1.0) ** 0.5 if lag else 0.0)
