"""How well a mouth fits a speech: a ridge regression from MFCC to the motion of the lips.

It needs no network. Fitted on clips that are known to be in sync, it predicts the lip measures of any speech;
the correlation with what a video shows says whether, and with which lag, the two belong together. The fit
that comes with this package was made by `lipserve-train fit-meter` on the training speakers of the shipped
recipe (GRID corpus, CC BY 4.0).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import SAMPLE_RATE
from lipserve_training.lips import FPS, MAX_LAG, MEASURES, Series, correlation, shifted
from lipserve_training.mfcc import COEFFICIENTS, STEPS_PER_SECOND, mfcc

CONTEXT = 5  # frames on each side
PENALTY = 0.1  # of the ridge, times the number of frames, on standardised features
_STEPS = STEPS_PER_SECOND // FPS


@dataclass(frozen=True)
class Verdict:
    """Mean correlation over the lip measures at the best lag, that lag in frames, and the one at lag 0.

    A positive lag: the lips come later than the sound.
    """

    score: float
    lag: int
    at_zero: float


@dataclass(frozen=True)
class Meter:
    """The regression: features are standardised with mean and scale [D], then times weights [D, 4]."""

    mean: Series
    scale: Series
    weights: Series

    def predict(self, samples: NDArray[np.float32], frames: int) -> Series:
        """Return the lip measures [F, 4], each up to its mean, that a speech asks for at 25 fps."""
        return np.asarray((features(samples, frames) - self.mean) / self.scale @ self.weights)

    def judge(self, lips: Series, samples: NDArray[np.float32], max_lag: int = MAX_LAG) -> Verdict:
        """Return how well the lips [F, 4] at 25 fps fit the speech."""
        wanted = self.predict(samples, len(lips))
        scores = {lag: _mean_r(*shifted(lips, wanted, lag)) for lag in range(-max_lag, max_lag + 1)}
        lag = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
        return Verdict(scores[lag], lag, scores[0])

    def to_bytes(self) -> bytes:
        """Return the file that `load` reads."""
        buffer = io.BytesIO()
        np.savez(buffer, mean=self.mean, scale=self.scale, weights=self.weights)
        return buffer.getvalue()


def features(samples: NDArray[np.float32], frames: int) -> Series:
    """Return what the regression hears of a speech: MFCC around every frame at 25 fps, [F, 13 * 11]."""
    wanted = frames * SAMPLE_RATE // FPS
    cepstra = mfcc(np.pad(samples, (0, max(0, wanted - len(samples)))))[: frames * _STEPS]
    cepstra = np.pad(cepstra, ((0, frames * _STEPS - len(cepstra)), (0, 0)), mode="edge")
    per_frame = cepstra.reshape(frames, _STEPS, COEFFICIENTS).mean(1)
    padded = np.pad(per_frame, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + frames] for i in range(2 * CONTEXT + 1)], 1)


def fit(clips: Iterable[tuple[Series, NDArray[np.float32]]]) -> Meter:
    """Return the meter fitted on clips in sync: lips [F, 4] at 25 fps, and their speech, 16 kHz.

    Every clip has its own mean taken out: neither a face nor a microphone is learnt. The clips are gone
    through once, and none is kept.
    """
    size = COEFFICIENTS * (2 * CONTEXT + 1)
    frames, total, squares = 0, np.zeros(size), np.zeros(len(MEASURES))
    own, shared = np.zeros((size, size)), np.zeros((size, len(MEASURES)))
    for lips, samples in clips:
        heard, shown = features(samples, len(lips)), lips - lips.mean(0)
        frames, total = frames + len(lips), total + heard.sum(0)
        heard = heard - heard.mean(0)
        own, shared, squares = own + heard.T @ heard, shared + heard.T @ shown, squares + (shown**2).sum(0)
    if not frames:
        raise ValueError("no clip to fit on")
    scale = np.sqrt(np.diag(own) / frames) + 1e-9
    shown_scale = np.sqrt(squares / frames) + 1e-9
    own = own / np.outer(scale, scale) + PENALTY * frames * np.eye(size)
    return Meter(total / frames, scale, np.linalg.solve(own, shared / np.outer(scale, shown_scale)))


@lru_cache
def shipped() -> Meter:
    """Return the meter that comes with this package."""
    with resources.as_file(resources.files("lipserve_training") / "meter.npz") as path:
        return load(path)


def load(path: Path) -> Meter:
    """Return the meter of a file that `fit-meter` wrote."""
    with np.load(path) as held:
        return Meter(held["mean"], held["scale"], held["weights"])


def _mean_r(lips: Series, wanted: Series) -> float:
    return float(np.mean([correlation(lips[:, i], wanted[:, i]) for i in range(lips.shape[1])]))
