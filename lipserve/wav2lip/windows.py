"""Speech of the tier `wav2lip`: mel columns of a frame, samples of a request."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import MEL_BINS, MEL_COLUMNS, SAMPLE_RATE
from lipserve.segments import Span

HOP = 200  # samples between two mel columns: a request's stretch of speech begins on one
COLUMNS_PER_SECOND = 80  # 16 kHz over the hop
MARGIN = 0.3  # seconds of speech on each side of a request's frames, so that the mel's edges are never heard
SILENCE = -4.0  # of a normalised mel


def needed(span: Span, fps: Fraction, samples: int, offset_ms: float = 0.0) -> Span:
    """Return the samples at 16 kHz that `span` hears, with a margin; the first is a multiple of the mel hop.

    Args:
        samples: of the whole speech.
        offset_ms: the request's `sync_offset_ms`.
    """
    shift = offset_ms / 1000
    start = (float(span.first / fps) + shift - MARGIN) * SAMPLE_RATE
    stop = (float(span.stop / fps) + shift + MARGIN) * SAMPLE_RATE
    first = HOP * max(0, min(math.floor(start / HOP), (samples - 1) // HOP))
    return Span(first, max(1, min(samples, math.ceil(stop)) - first))


def mel_starts(frames: NDArray[np.int32], fps: Fraction, offset_ms: float = 0.0) -> NDArray[np.int64]:
    """Return the first mel column [N] that each frame hears: floor(80 i / fps), Wav2Lip's inference rule.

    Args:
        frames: int32 [N], counted from the clip's first.
        offset_ms: how much earlier the mouth moves against the sound.
    """
    offset = round(offset_ms * COLUMNS_PER_SECOND / 1000)
    scale = COLUMNS_PER_SECOND * fps.denominator
    return frames.astype(np.int64) * scale // fps.numerator + offset


def mel_windows(mel: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the windows [N, 1, 80, 16] of a mel [80, T] that begin at `starts` [N]; silence lies around it.

    Upstream stops about three frames short of the speech and repeats its last window; here every frame
    hears its own, and columns past either end are silent.
    """
    columns = starts[:, None] + np.arange(MEL_COLUMNS)
    inside = (columns >= 0) & (columns < mel.shape[1])
    picked = mel.T[np.clip(columns, 0, mel.shape[1] - 1)]  # [N, 16, 80]
    picked[~inside] = SILENCE
    return np.ascontiguousarray(picked.transpose(0, 2, 1)).reshape(-1, 1, MEL_BINS, MEL_COLUMNS)
