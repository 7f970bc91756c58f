"""Do generated lips move as true ones do, and as the speech asks for? From the face mesh alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve_training.lips import MEASURES, Series, best_lag, correlation
from lipserve_training.meter import Meter

WRONG = 20  # speeches, at least, that the right one is ranked among
SILENT_FRAMES = 50
SETTLING = 5  # frames after which a mouth should have closed
_ROLL = SAMPLE_RATE // 2  # samples, the least by which a clip's own speech is turned to be a wrong one
_OPENING = MEASURES.index("opening")
_RANGE = (5, 95)  # percentiles of the opening on speech: the closed and the wide open mouth


@dataclass(frozen=True)
class Agreement:
    """Correlation of two mouth openings at the best lag within 5 frames, that lag, and the one at lag 0.

    A positive lag: the generated lips come later than the true ones.
    """

    best: float
    lag: int
    at_zero: float


def agreement(made: Series, true: Series) -> Agreement:
    """Return how generated lips [F, 4] follow true ones."""
    a, b = made[:, _OPENING], true[:, _OPENING]
    return Agreement(*best_lag(a, b), correlation(a, b))


def open_on_silence(silent: Series, speaking: Series) -> float:
    """Return how far a mouth stays open on silence, as a share of the range of its speech.

    0 is the 5th percentile of the opening on speech, the closed mouth, 1 the 95th; the mean over the silent
    frames after the first few.

    Args:
        silent: lips [S, 4] driven by silence.
        speaking: lips [F, 4] of the same face and generator, driven by speech.
    """
    closed, wide = np.percentile(speaking[:, _OPENING], _RANGE)
    left = float(silent[SETTLING:, _OPENING].mean() - closed)
    return left / max(float(wide - closed), 1e-6)


def wrong_speeches(own: Samples, others: Sequence[Samples], least: int = WRONG) -> list[Samples]:
    """Return speeches as long as a clip's own that are not its own.

    First those of the other clips, each followed by the ones after it where it is too short; then, until
    there are `least`, the clip's own, turned by half a second or more either way.
    """
    wrong = [_from(others, first, len(own)) for first in range(len(others))]
    missing = least - len(wrong)
    if missing > 0 and len(own) > 2 * _ROLL:
        shifts = np.linspace(_ROLL, len(own) - _ROLL, missing).round().astype(int)
        wrong += [np.roll(own, shift) for shift in shifts]
    return wrong


def rank(meter: Meter, shown: Series, right: Samples, wrong: Sequence[Samples]) -> tuple[float, float]:
    """Return the share of wrong speeches that fit lips [F, 4] less well than the right one, and its score.

    The share is the area under the ROC curve of one right among the wrong ones; a tie counts half.
    """
    score = meter.judge(shown, right).score
    others = np.array([meter.judge(shown, speech).score for speech in wrong])
    below = float((others < score).mean() + (others == score).mean() / 2)
    return below, score


def to_and_fro(frames: int, length: int) -> NDArray[np.int64]:
    """Return `length` frames of a clip of `frames`, played forwards and backwards in turn."""
    course = np.concatenate([np.arange(frames), np.arange(frames - 2, 0, -1)])
    return np.asarray(np.resize(course, length))


def _from(others: Sequence[Samples], first: int, length: int) -> Samples:
    parts, held = [], 0
    for step in range(len(others)):
        speech = others[(first + step) % len(others)]
        parts.append(speech)
        held += len(speech)
        if held >= length:
            break
    return np.resize(np.concatenate(parts), length)
