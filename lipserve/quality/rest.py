"""Rest of a mouth in silence."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.mel import mel_whisper

COLUMNS = 100  # of the mel, a second
LEAKING = 0.25  # height over width of the inner lips: more is an open mouth
_HEIGHT, _WIDTH = (13, 14), (78, 308)  # mesh points: middles and corners of the inner lips
_BELOW = 4.0  # log10 of power under the loudest of the speech ...
_NOTHING = -5.0  # ... or under this: noise at -57 dB of full scale
_SETTLING = 0.2  # seconds after which a mouth should have closed
_BEFORE = 0.12  # seconds before a sound in which it may open


def apart(meshes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the inner lips over their width [F], of meshes [F, 468, 2 or more]."""
    height, width = (
        np.linalg.norm(meshes[:, a, :2] - meshes[:, b, :2], axis=1) for a, b in (_HEIGHT, _WIDTH)
    )
    return np.asarray(height / np.maximum(width, 1e-9))


def lip_leak(meshes: NDArray[np.float64]) -> float:
    """Return LipLeak (KeySync, Bigata et al., 2025): the share of frames on silence in which a mouth is open.

    It is open where its inner lips are higher than a quarter of their width.

    Args:
        meshes: float64 [S, 468, 2], driven by silence.
    """
    return float((apart(meshes) > LEAKING).mean())


def silent(
    samples: NDArray[np.float32], first_sample: int, peak: float, frames: NDArray[np.int64], fps: Fraction
) -> NDArray[np.bool_]:
    """Return in which of the frames [F] the speech is silent, has been for a while, and remains so [F].

    Silent is a column of the mel 40 dB below the loudest of the speech, or below what any voice has.

    Args:
        samples: float32 [n], 16 kHz, a stretch of the speech.
        first_sample: its place, a multiple of 160.
        peak: of the whole speech (`lipserve.audio.whisper_peak`).
    """
    mel = mel_whisper(samples, peak)
    loud = 4 * mel.max(0, initial=-np.inf) - 4 > max(peak - _BELOW, _NOTHING)
    heard = np.concatenate([[0], np.cumsum(loud)])
    times = frames / float(fps) - _SETTLING, (frames + 1) / float(fps) + _BEFORE
    begin, end = (
        np.clip(np.round(at * COLUMNS).astype(np.int64) - first_sample // 160, 0, len(loud)) for at in times
    )
    return np.asarray(heard[end] == heard[begin])
