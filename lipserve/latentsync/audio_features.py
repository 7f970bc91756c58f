"""Audio features of UNet3D: ten rows of Whisper's encoder per frame, five hidden states each.

The encoder takes 30 s at a time and gives 50 rows a second. Upstream lays its blocks end to end, so at every
30 s the features of neighbouring rows come from two calls that know nothing of each other, and the lips
jump. Here a block begins every 20 s, and over the 10 s that two of them share one fades into the other.
Speech up to 30 s is one block either way, with the same features.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.blocks import ROWS_PER_SECOND, Blocks, check
from lipserve.contracts.latentsync import (
    AUDIO_ROWS,
    AUDIO_WIDTH,
    WHISPER_ROWS,
)
from lipserve.leaves import Leaves
from lipserve.segments import Span

STEP = 1000  # rows from one block to the next, where they overlap
_REACH = np.arange(-4, 6)  # rows around a frame's own

Features = NDArray[np.float32]


def needed(
    first_frame: int, stop_frame: int, fps: Fraction, offset_ms: float, total_samples: int, reference: bool
) -> Span:
    """Return the samples at 16 kHz that `features` needs for the frames: whole blocks and a margin.

    The first is a multiple of 800. Frames that one block covers need 30.1 s of speech, those of two 50.1 s.

    Args:
        first_frame, stop_frame: output frames counted from the clip's first, the last excluded.
        offset_ms: the request's `sync_offset_ms`.
        total_samples: of the whole speech.
        reference: as for `features`.
    """
    cut = _cut(total_samples, reference)
    return cut.needed(_rows(first_frame, stop_frame, fps, offset_ms, cut), total_samples)


def features(
    leaves: Leaves,
    samples: NDArray[np.float32],
    first_sample: int,
    total_samples: int,
    peak: float,
    first_frame: int,
    stop_frame: int,
    fps: Fraction,
    offset_ms: float,
    reference: bool,
) -> Features:
    """Return the features of the frames `first_frame` .. `stop_frame - 1`, float32 [F, 50, 384].

    Frame i is centred on row int(50 i / fps) and hears those from 4 before it to 5 after it, each clamped to
    the speech's; row 5 t + s of its 50 is state s of the t-th (LatentSync, whisper/audio2feature.py). The
    features do not depend on which frames are asked for together.

    Args:
        samples: float32 [n], 16 kHz mono, a stretch of the speech that holds what `needed` says.
        first_sample: of the stretch in the speech, a multiple of 160.
        total_samples: of the whole speech.
        peak: `audio.mel.whisper_peak` of the whole speech.
        offset_ms: how much earlier the mouth moves against the sound, rounded to rows of 20 ms.
        reference: lay the blocks end to end, as upstream does.

    Raises:
        InputError: a stretch that starts off the grid, or is too short.
    """
    check(
        Span(first_sample, len(samples)),
        needed(first_frame, stop_frame, fps, offset_ms, total_samples, reference),
    )
    cut = _cut(total_samples, reference)
    rows = _rows(first_frame, stop_frame, fps, offset_ms, cut)
    # After the speech come zeros. Zero is not silence but a loud, even noise: what upstream pads with, and
    # the networks were trained on.
    out = cut.faded(
        rows,
        samples,
        first_sample,
        peak,
        0.0,
        lambda mels: leaves("whisper_encoder", {"MEL": mels})["STATES"],
    )
    return out.reshape(-1, AUDIO_ROWS, AUDIO_WIDTH)


def _cut(total_samples: int, reference: bool) -> Blocks:
    return Blocks.of_speech(total_samples, WHISPER_ROWS, WHISPER_ROWS if reference else STEP)


def _rows(first: int, stop: int, fps: Fraction, offset_ms: float, cut: Blocks) -> NDArray[np.int64]:
    """Return the rows int64 [F, 10] that the frames hear."""
    frames = np.arange(first, stop, dtype=np.int64)
    own = frames * (ROWS_PER_SECOND * fps.denominator) // fps.numerator
    own += round(offset_ms * ROWS_PER_SECOND / 1000)
    return np.asarray(np.clip(own[:, None] + _REACH, 0, cut.rows - 1))
