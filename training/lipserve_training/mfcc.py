"""Mel-frequency cepstral coefficients, as the evaluation's SyncNet takes them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import SAMPLE_RATE

COEFFICIENTS = 13
STEPS_PER_SECOND = 100
_WINDOW, _HOP, _FFT, _FILTERS = 400, 160, 512, 26
_EMPHASIS, _LIFTER = 0.97, 22
_FULL_SCALE = 32768.0  # the published features are of 16-bit integers


def mfcc(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return MFCC float64 [T, 13], 100 steps a second, the first coefficient replaced by the log energy.

    Defaults of python_speech_features 0.6 (J. Lyons): pre-emphasis 0.97, frames of 25 ms every 10 ms without
    a window, 512-point power spectrum, 26 HTK mel filters from 0 to 8000 Hz, orthonormal DCT-II, sine
    lifter 22. The last frame is filled up with zeros.

    Args:
        samples: float32 [n] in -1..1, 16 kHz.
    """
    signal = np.round(samples.astype(np.float64) * _FULL_SCALE)
    signal = np.append(signal[:1], signal[1:] - _EMPHASIS * signal[:-1])
    steps = 1 + max(0, -(-(len(signal) - _WINDOW) // _HOP))
    signal = np.pad(signal, (0, max(0, (steps - 1) * _HOP + _WINDOW - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
    smallest = np.finfo(float).eps
    energy = np.maximum(power.sum(1), smallest)
    bands = np.log(np.maximum(power @ _filters().T, smallest))
    cepstra = bands @ _dct().T
    cepstra[:, 0] = np.log(energy)
    return np.asarray(cepstra)


@lru_cache
def _filters() -> NDArray[np.float64]:
    """Return triangles [26, 257] evenly spaced on the HTK mel scale, their edges at whole FFT bins."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hertz / SAMPLE_RATE)[:, None]
    bins = np.arange(_FFT // 2 + 1)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.asarray(np.where(bins < centre, rising, falling).clip(0))


@lru_cache
def _dct() -> NDArray[np.float64]:
    """Return the first rows [13, 26] of the orthonormal DCT-II, times the lifter."""
    order = np.arange(COEFFICIENTS)[:, None]
    basis = np.cos(np.pi * order * (2 * np.arange(_FILTERS) + 1) / (2 * _FILTERS)) * np.sqrt(2 / _FILTERS)
    basis[0] /= np.sqrt(2)
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)
    return np.asarray(basis * lifter)
