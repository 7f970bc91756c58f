"""Motion of generated lips against real ones, and their rest in silence, from the face mesh alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.quality.lips import FPS, MEASURES, Series, best_lag, correlation

SILENT_FRAMES = 50
SETTLING = 5  # frames after which a mouth should have closed
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


def amplitude(made: Series, true: Series) -> float:
    """Return how far generated lips [F, 4] move beside true ones: the ratio of the openings' ranges."""
    low, high = np.percentile(np.stack([made[:, _OPENING], true[:, _OPENING]]), _RANGE, axis=1)
    own, wanted = high - low
    return float(own / max(wanted, 1e-6))


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


def wrong_speeches(length: int, others: Sequence[Samples], count: int) -> list[Samples]:
    """Return `count` speeches of `length` samples, or as many as there are, of evenly spread other clips.

    Where one is too short, those after it follow.
    """
    picks = np.linspace(0, len(others) - 1, min(count, len(others))).round().astype(int)
    return [_from(others, int(pick), length) for pick in picks]


def loudest(speech: Samples, frames: int) -> Samples:
    """Return the loudest stretch, so many frames long, of a speech; a short one is said again and again."""
    length = frames * SAMPLE_RATE // FPS
    repeated = np.resize(speech, max(len(speech), length))
    power = np.concatenate([[0.0], np.cumsum(repeated.astype(np.float64) ** 2)])
    first = int(np.argmax(power[length:] - power[: len(power) - length]))
    return repeated[first : first + length]


def _from(others: Sequence[Samples], first: int, length: int) -> Samples:
    parts, held = [], 0
    for step in range(len(others)):
        speech = others[(first + step) % len(others)]
        parts.append(speech)
        held += len(speech)
        if held >= length:
            break
    return np.resize(np.concatenate(parts), length)
