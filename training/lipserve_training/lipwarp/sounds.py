"""Sounds that are no speech, at which a mouth stays closed: silence, noise, breath, hum, knocks, chords."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import SAMPLE_RATE

Sound = NDArray[np.float64]
Rng = np.random.Generator

_QUIETEST, _LOUDEST = -60.0, -10.0  # dB of full scale, of the peak
_FAINT = 1e-6  # the noise of a converter that hears nothing


def sound(number: int, samples: int, rng: Rng) -> NDArray[np.float32]:
    """Return a sound float32 [n] at 16 kHz, of a kind that goes by its number."""
    kind = _KINDS[number % len(_KINDS)]
    made = kind(samples, rng)
    if kind is _silence:
        return made.astype(np.float32)
    level = 10 ** (rng.uniform(_QUIETEST, _LOUDEST) / 20)
    return np.asarray(made / (np.abs(made).max() + 1e-9) * level, np.float32)


def coloured(samples: int, steepness: float, corner: float, rng: Rng) -> Sound:
    """Return noise whose spectrum falls by a power of the frequency above a corner in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.maximum(1, hertz / corner) ** steepness, samples)


def _silence(samples: int, rng: Rng) -> Sound:
    return np.asarray(rng.choice([0, _FAINT]) * rng.standard_normal(samples))


def _noise(samples: int, rng: Rng) -> Sound:
    return coloured(samples, rng.uniform(0, 1.2), 20, rng)


def _breath(samples: int, rng: Rng) -> Sound:
    """A band of noise that swells and fades."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    middle, width = rng.uniform(400, 3000), rng.uniform(300, 1500)
    band = np.fft.irfft(spectrum * np.exp(-0.5 * ((hertz - middle) / width) ** 2), samples)
    wave = np.sin(2 * np.pi * _seconds(samples) / rng.uniform(1.5, 4) + rng.uniform(0, 6))
    return np.asarray(band * np.maximum(0, wave) ** rng.uniform(1, 3))


def _hum(samples: int, rng: Rng) -> Sound:
    """A fundamental with four harmonics, over noise."""
    base, seconds = rng.choice([50, 60, 100, 120, 440, 1000]), _seconds(samples)
    waves = [np.sin(2 * np.pi * base * h * seconds + rng.uniform(0, 6)) / h for h in range(1, 6)]
    return np.asarray(sum(waves) + 0.2 * rng.standard_normal(samples))


def _knocks(samples: int, rng: Rng) -> Sound:
    out = np.zeros(samples)
    for first in rng.integers(0, max(1, samples - 4000), rng.integers(2, 20)):
        length = min(int(rng.integers(50, 3000)), samples - first)
        out[first : first + length] += rng.standard_normal(length) * np.exp(-4 * np.arange(length) / length)
    return out


def _chord(samples: int, rng: Rng) -> Sound:
    """Five tones with a vibrato, louder and softer."""
    seconds = _seconds(samples)
    bent = seconds * (1 + 0.003 * np.sin(5 * seconds))
    waves = [np.sin(2 * np.pi * tone * bent) * rng.random() for tone in rng.uniform(100, 1500, 5)]
    return np.asarray(sum(waves) * (0.6 + 0.4 * np.sin(2 * np.pi * seconds * rng.uniform(0.5, 4))))


def _seconds(samples: int) -> Sound:
    return np.arange(samples) / SAMPLE_RATE


_KINDS: tuple[Callable[[int, Rng], Sound], ...] = (
    _silence, _noise, _noise, _breath, _breath, _hum, _knocks, _chord,
)  # fmt: skip
