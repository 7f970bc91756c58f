"""How well a mouth fits a speech: what the tier lipwarp hears of the speech, beside what the face mesh shows.

The networks that come with LipServe turn any speech to lip shapes, and shapes to lip measures by what their
directions do to the mesh; the correlation with what a video shows says whether, and with which lag, the two
belong together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lipserve.audio.mel import whisper_peak
from lipserve.lipwarp import speech
from lipserve.lipwarp.shapes import shipped_basis
from lipserve_export.fetch import shipped as weights
from lipserve_export.fetch.files import shipped_file
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import LipMotion
from lipserve_training.lips import FPS, MAX_LAG, Series, correlation, measured, shifted

_STILL = 0.005  # of the eye distance: a sound that moves the lips less asks for nothing


@dataclass(frozen=True)
class Verdict:
    """Mean correlation over the lip measures at the best lag, that lag in frames, and the one at lag 0.

    A positive lag: the lips come later than the sound.
    """

    score: float
    lag: int
    at_zero: float


class Meter:
    """Hears lip measures in a speech.

    Attributes:
        digest: of its networks.
    """

    def __init__(self) -> None:
        networks = (("speech_encoder", SpeechEncoder()), ("lip_motion", LipMotion()))
        loaded = {name: weights.load(shipped_file(f"{name}.safetensors"), net) for name, net in networks}
        self._networks = {name: network for name, (network, _) in loaded.items()}
        self.digest = hashlib.sha256("".join(digest for _, digest in loaded.values()).encode()).hexdigest()
        self._measures = measured(shipped_basis())

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return what a leaf of the tier gives: this is a `lipserve.leaves.Leaves`."""
        ((_, given),) = inputs.items()
        with torch.inference_mode():
            made = self._networks[model](torch.from_numpy(given)).numpy()
        return {"STATES" if model == "speech_encoder" else "SHAPES": made}

    def predict(self, samples: NDArray[np.float32], frames: int) -> Series:
        """Return the lip measures [F, 4], each up to its mean, that a speech asks for at 25 fps."""
        peak, count = whisper_peak(samples), len(samples)
        shapes = speech.heard(self, samples, 0, count, peak, np.arange(frames), Fraction(FPS), 0.0)
        return np.asarray(shapes.astype(np.float64) @ self._measures)

    def judge(self, lips: Series, samples: NDArray[np.float32], max_lag: int = MAX_LAG) -> Verdict:
        """Return how well the lips [F, 4] at 25 fps fit the speech; what is no speech fits nothing."""
        wanted = self.predict(samples, len(lips))
        if wanted[:, 0].std() < _STILL:
            return Verdict(0.0, 0, 0.0)
        scores = {lag: _mean_r(*shifted(lips, wanted, lag)) for lag in range(-max_lag, max_lag + 1)}
        lag = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
        return Verdict(scores[lag], lag, scores[0])


@cache
def shipped() -> Meter:
    """Return the meter of the networks that come with LipServe."""
    return Meter()


def _mean_r(lips: Series, wanted: Series) -> float:
    return float(np.mean([correlation(lips[:, i], wanted[:, i]) for i in range(lips.shape[1])]))
