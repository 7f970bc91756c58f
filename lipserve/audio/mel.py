"""The mel spectrograms of Wav2Lip and of Whisper, from 16 kHz mono samples.

Both take centred Hann frames of a signal that is reflected at its ends, and both are computed in blocks: what
is held in double precision does not grow with the length, and the result does not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import MEL_BINS, SAMPLE_RATE

Mel = NDArray[np.float32]
_Double = NDArray[np.float64]

_BLOCK = 256  # columns computed at once: their spectra fit the processor's second cache


@dataclass(frozen=True)
class _Front:
    """A mel front end: frame and hop in samples, band in Hz, pre-emphasis coefficient, exponent of |X|."""

    frame: int
    hop: int
    low: float
    high: float
    emphasis: float
    power: int

    @cached_property
    def window(self) -> _Double:
        """Periodic Hann."""
        window: _Double = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame) / self.frame)
        return window

    @cached_property
    def filters(self) -> _Double:
        return slaney_filters(self.frame, self.low, self.high)

    def blocks(self, samples: NDArray[np.float32], columns: int) -> Iterator[tuple[slice, _Double]]:
        """Yield (columns, mel [MEL_BINS, their number]), unscaled."""
        half = self.frame // 2
        if len(samples) <= half:  # too short to be reflected
            samples = np.pad(samples, (0, half + 1 - len(samples)))
        for first in range(0, columns, _BLOCK):
            count = min(_BLOCK, columns - first)
            signal = self._signal(samples, first * self.hop - half, (count - 1) * self.hop + self.frame)
            frames = np.lib.stride_tricks.sliding_window_view(signal, self.frame)[:: self.hop]
            magnitude = np.abs(np.fft.rfft(frames * self.window))
            yield slice(first, first + count), self.filters @ (magnitude**self.power).T

    def _signal(self, samples: NDArray[np.float32], start: int, length: int) -> _Double:
        """Return `length` pre-emphasised samples from `start` on, reflected beyond both ends."""
        inside = slice(max(start - 1, 0), start + length)
        if start > 0 and inside.stop <= len(samples):
            stretch = samples[inside].astype(np.float64)
            emphasised: _Double = stretch[1:] - self.emphasis * stretch[:-1]
            return emphasised
        at = np.abs(np.arange(start, start + length))
        at = np.where(at >= len(samples), 2 * (len(samples) - 1) - at, at)
        before = np.where(at > 0, samples[at - 1], 0).astype(np.float64)
        reflected: _Double = samples[at].astype(np.float64) - self.emphasis * before
        return reflected


_WAV2LIP = _Front(frame=800, hop=200, low=55, high=7600, emphasis=0.97, power=1)
_WHISPER = _Front(frame=400, hop=160, low=0, high=8000, emphasis=0, power=2)


def mel_wav2lip(samples: NDArray[np.float32]) -> Mel:
    """Return the mel that Wav2Lip hears: float32 [80, 1 + n // 200], values in [-4, 4], 80 columns a second.

    Column k is centred on sample 200 k (Wav2Lip, hparams.py and audio.py: pre-emphasis 0.97, 800-sample Hann
    frames, |STFT|, Slaney filters of 55 to 7600 Hz, 20 log10, less 20 dB, -100..0 dB to -4..4).

    Args:
        samples: float32 [n], 16 kHz. Fewer than 401, too few to be reflected, are followed by zeros.
    """
    columns = 1 + len(samples) // _WAV2LIP.hop
    mel = np.empty((MEL_BINS, columns), np.float32)
    for place, values in _WAV2LIP.blocks(samples, columns):
        decibels = 20 * np.log10(np.maximum(values, 1e-5)) - 20
        mel[:, place] = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    return mel


def mel_whisper(samples: NDArray[np.float32], peak: float | None = None) -> Mel:
    """Return Whisper's log-mel: float32 [80, n // 160], 100 columns a second.

    Column k is centred on sample 160 k (OpenAI Whisper, audio.py: 400-sample Hann frames, |STFT|^2, Slaney
    filters of 0 to 8000 Hz, log10, nothing lower than the peak less 8, plus 4, by 4).

    Args:
        samples: float32 [n], 16 kHz. Fewer than 201, too few to be reflected, are followed by zeros.
        peak: the highest log10 that the whole speech reaches (`whisper_peak`), where `samples` is a stretch
            of it that starts on a whole hop: the columns that lie 200 samples inside the stretch are then
            those of the whole. None: the peak of `samples`.
    """
    columns = len(samples) // _WHISPER.hop
    mel = np.empty((MEL_BINS, columns), np.float32)
    for place, values in _WHISPER.blocks(samples, columns):
        mel[:, place] = np.log10(np.maximum(values, 1e-10))
    if peak is None:
        peak = float(mel.max(initial=-10))
    np.maximum(mel, peak - 8, out=mel)
    return np.divide(np.add(mel, 4, out=mel), 4, out=mel)


def whisper_peak(samples: NDArray[np.float32]) -> float:
    """Return the highest log10 of the Whisper mel of a speech, at least -10: see `mel_whisper`."""
    columns = len(samples) // _WHISPER.hop
    highest = max((values.max() for _, values in _WHISPER.blocks(samples, columns)), default=0.0)
    return float(np.float32(np.log10(max(highest, 1e-10))))


@lru_cache
def slaney_filters(frame: int, low: float, high: float) -> _Double:
    """Return triangular mel filters [MEL_BINS, frame // 2 + 1] of unit area for 16 kHz.

    Slaney's scale (Auditory Toolbox, 1998): linear to 1000 Hz at 200/3 Hz a mel, then 27 mels for each factor
    of 6.4; edges evenly spaced in mel from `low` to `high` Hz.
    """
    bins = np.arange(frame // 2 + 1) * SAMPLE_RATE / frame  # Hz
    edges = _hertz(np.linspace(_mels(low), _mels(high), MEL_BINS + 2))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    result: _Double = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return result


def _mels(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mels: _Double) -> _Double:
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
