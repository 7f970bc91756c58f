"""Lip shapes of a speech, one per frame, from Whisper's encoder.

The encoder hears blocks of 8 s, one every 6 s; over the 2 s that two of them share one fades into the other.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.blocks import ROWS_PER_SECOND, Blocks, check
from lipserve.contracts.lipwarp import ROWS
from lipserve.leaves import Leaves
from lipserve.segments import Span

STEP = 300  # rows from one block to the next

Shapes = NDArray[np.float32]


def needed(span: Span, fps: Fraction, total_samples: int, offset_ms: float) -> Span:
    """Return the samples at 16 kHz that `heard` needs for the frames of a span: whole blocks and a margin.

    The first is a multiple of 800.

    Args:
        offset_ms: the request's `sync_offset_ms`.
    """
    blocks = Blocks.of_speech(total_samples, ROWS, STEP)
    low, high, _ = _rows(np.array([span.first, span.stop - 1]), fps, offset_ms, blocks)
    return blocks.needed(np.stack([low, high]), total_samples)


def heard(
    leaves: Leaves,
    samples: NDArray[np.float32],
    first_sample: int,
    total_samples: int,
    peak: float,
    frames: NDArray[np.int64],
    fps: Fraction,
    offset_ms: float,
) -> Shapes:
    """Return the shapes float32 [F, K] that a speech asks for, of a person whose mouth opens by one.

    Frame i shows the middle of its time, (i + 1/2) / fps. A shape does not depend on which frames are asked
    for together.

    Args:
        samples: float32 [n], 16 kHz mono, a stretch of the speech that holds what `needed` says.
        first_sample: of the stretch in the speech, a multiple of 160.
        total_samples, peak: of the whole speech (`audio.whisper_peak`).
        frames: int64 [F], output frames, rising.

    Raises:
        InputError: a stretch that starts off the grid, or is too short.
    """
    span = Span(int(frames[0]), int(frames[-1]) + 1 - int(frames[0]))
    check(Span(first_sample, len(samples)), needed(span, fps, total_samples, offset_ms))
    blocks = Blocks.of_speech(total_samples, ROWS, STEP)
    low, high, part = _rows(frames, fps, offset_ms, blocks)

    def network(mels: NDArray[np.float32]) -> NDArray[np.float32]:
        states = leaves("speech_encoder", {"MEL": mels})["STATES"]
        return np.asarray(leaves("lip_motion", {"STATES": states})["SHAPES"])

    silence = float(np.float32((peak - 8 + 4) / 4))  # what the mel of nothing is beside that peak
    rows = blocks.faded(np.stack([low, high]), samples, first_sample, peak, silence, network)
    return np.asarray(rows[0] + part[:, None] * (rows[1] - rows[0]), np.float32)


def _rows(
    frames: NDArray[np.int64], fps: Fraction, offset_ms: float, blocks: Blocks
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the rows [F] before and after the middle of each frame, and how far on between them [F]."""
    place = (frames + 0.5) * float(ROWS_PER_SECOND / fps) + offset_ms * ROWS_PER_SECOND / 1000
    low = np.floor(place).astype(np.int64)
    part = (place - low).astype(np.float32)
    last = blocks.rows - 1
    return np.clip(low, 0, last), np.clip(low + 1, 0, last), part
