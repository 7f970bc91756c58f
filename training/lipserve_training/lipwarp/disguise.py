"""Augmentation of speech: shifted, louder, noisier, faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.blocks import ROWS_PER_SECOND
from lipserve.contracts import SAMPLE_RATE
from lipserve.contracts.lipwarp import ROWS
from lipserve.lipwarp.shapes import Series
from lipserve.quality.lips import FPS
from lipserve_training.lipwarp.recipes import Hearing
from lipserve_training.lipwarp.sounds import coloured

BLOCK = ROWS * SAMPLE_RATE // ROWS_PER_SECOND  # samples that the encoder hears together
ROWS_PER_FRAME = ROWS_PER_SECOND // FPS
_ROW = SAMPLE_RATE // ROWS_PER_SECOND
_FRAME = SAMPLE_RATE // FPS

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Disguise:
    """A block that holds a piece of a clip.

    Attributes:
        block: float32 [BLOCK].
        row: of the encoder, in which the piece begins.
        places: float64 [n], the frame of the clip that is shown in each frame of the piece.
    """

    block: Samples
    row: int
    places: Series


def disguises(
    samples: Samples, begin: int, end: int, how: Hearing, rng: np.random.Generator
) -> Iterator[Disguise]:
    """Yield the frames `begin` .. `end - 1` of a clip in the ways in which they are to be heard.

    The first block begins with them, as they are. In the others they lie anywhere, with what was before
    them, and gain, spectrum and noise are others; in the last ones, speed and pitch too.
    """
    own = samples[begin * _FRAME : end * _FRAME]
    quiet = np.zeros(BLOCK, np.float32)
    yield Disguise(_laid(own, samples[:0], 0, quiet), 0, np.arange(begin, end, dtype=np.float64))
    for number in range(1, how.variants + how.speeds):
        slower = float(np.exp(rng.uniform(-how.speed, how.speed))) if number >= how.variants else 1.0
        disguised = _slowed(samples, slower) * np.float32(10 ** (rng.uniform(how.quietest, how.loudest) / 20))
        if rng.random() < how.tilt:
            disguised = _tilted(disguised, rng.uniform(-how.tilt_db, how.tilt_db))
        frames = min(int((end - begin) * slower), ROWS // ROWS_PER_FRAME)
        row = int(rng.integers(0, ROWS - ROWS_PER_FRAME * frames + 1))
        first = round(begin * slower * _FRAME)
        own, before = disguised[first : first + frames * _FRAME], disguised[:first]
        noisy = rng.random() < how.noise
        floor = _noise(float(own.std()), how, rng) if noisy else np.zeros(BLOCK, np.float32)
        shown = np.clip(begin - 0.5 + (np.arange(frames) + 0.5) / slower, begin, end - 1)
        yield Disguise(_laid(own, before, row, floor), row, shown)


def _laid(own: Samples, before: Samples, row: int, floor: Samples) -> Samples:
    """Return a block with a piece at a row, what was before the piece before it, and a floor under both."""
    at, out = row * _ROW, floor.copy()
    before = before[max(0, len(before) - at) :]
    out[at - len(before) : at] += before
    out[at : at + len(own)] += own
    return np.clip(out, -1, 1)


def _slowed(samples: Samples, slower: float) -> Samples:
    if slower == 1.0:
        return samples
    at = np.arange(int(len(samples) * slower)) / slower
    return np.asarray(np.interp(at, np.arange(len(samples)), samples), np.float32)


def _tilted(samples: Samples, decibels: float) -> Samples:
    spectrum = np.fft.rfft(samples)
    at = np.linspace(0, 1, len(spectrum)) - 0.2
    return np.asarray(np.fft.irfft(spectrum * 10 ** (decibels * at / 20), len(samples)), np.float32)


def _noise(level: float, how: Hearing, rng: np.random.Generator) -> Samples:
    """Return noise [BLOCK], white or coloured, so far below a level (root mean square) as `snr` has it."""
    steepness = rng.uniform(0.2, 1.0) if rng.random() < how.noise else 0.0
    noise = coloured(BLOCK, steepness, 100, rng)
    loud = (level + 1e-6) * 10 ** (-rng.uniform(*how.snr) / 20)
    return np.asarray(noise / (noise.std() + 1e-9) * loud, np.float32)
