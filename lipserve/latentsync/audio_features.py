"""What UNet3D hears: for every frame ten rows of Whisper's encoder, of five hidden states each.

The encoder takes 30 s at a time and gives 50 rows a second. Upstream lays its blocks end to end, so at every
30 s the features of neighbouring rows come from two calls that know nothing of each other, and the lips
jump. Here a block begins every 20 s, and over the 10 s that two of them share one fades into the other.
Speech up to 30 s is one block either way, with the same features.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.mel import mel_whisper
from lipserve.contracts import MEL_BINS, SAMPLE_RATE
from lipserve.contracts.latentsync import (
    AUDIO_ROWS,
    AUDIO_WIDTH,
    WHISPER_COLUMNS,
    WHISPER_ROWS,
    WHISPER_STATES,
)
from lipserve.errors import InputError
from lipserve.leaves import Leaves
from lipserve.segments import Span

ROWS_PER_SECOND = 50
HOP = 160  # samples of a mel column; a row is two of them
STEP = 1000  # rows from one block to the next, where they overlap
MARGIN = 800  # samples around a block that its mel depends on (200), rounded up to a hop of either tier
BATCH = 8  # blocks in one call of the encoder
_REACH = np.arange(-4, 6)  # rows around a frame's own

Features = NDArray[np.float32]


@dataclass(frozen=True)
class _Blocks:
    """How a speech is cut for the encoder.

    Attributes:
        columns: of the whole speech's mel.
        step: rows from one block to the next: WHISPER_ROWS where they do not overlap.
    """

    columns: int
    step: int

    @property
    def rows(self) -> int:
        """Rows of the whole speech; one at least, so that the shortest speech is something."""
        return max(1, self.columns // 2)

    @property
    def count(self) -> int:
        return 1 + max(0, -(-(self.rows - WHISPER_ROWS) // self.step))

    def of(self, rows: NDArray[np.int64]) -> range:
        """Return the blocks that have a say in any of the rows between the lowest and the highest."""
        first = max(0, -(-(int(rows.min()) - WHISPER_ROWS + 1) // self.step))
        return range(first, min(self.count, int(rows.max()) // self.step + 1))

    def weights(self, block: int) -> NDArray[np.float32]:
        """Return the share [1500] of a block in each of its rows; those of two blocks add up to one."""
        shared = WHISPER_ROWS - self.step
        rise = np.arange(1, shared + 1, dtype=np.float32) / np.float32(shared + 1)
        out = np.ones(WHISPER_ROWS, np.float32)
        if shared and block > 0:
            out[:shared] = rise
        if shared and block < self.count - 1:
            out[self.step :] = 1 - rise
        return out


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
    blocks = cut.of(_rows(first_frame, stop_frame, fps, offset_ms, cut))
    begin = 2 * cut.step * blocks.start * HOP - MARGIN
    end = (2 * cut.step * (blocks.stop - 1) + WHISPER_COLUMNS) * HOP + MARGIN
    first = max(0, begin)
    return Span(first, min(total_samples, end) - first)


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
    """Return what the frames `first_frame` .. `stop_frame - 1` hear, float32 [F, 50, 384].

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
    _check(
        Span(first_sample, len(samples)),
        needed(first_frame, stop_frame, fps, offset_ms, total_samples, reference),
    )
    cut = _cut(total_samples, reference)
    heard = _rows(first_frame, stop_frame, fps, offset_ms, cut)
    mel = mel_whisper(samples, peak)
    out = np.zeros((*heard.shape, WHISPER_STATES, AUDIO_WIDTH), np.float32)
    blocks = cut.of(heard)
    for begin in range(blocks.start, blocks.stop, BATCH):
        batch = range(begin, min(begin + BATCH, blocks.stop))
        inputs = np.stack([_block(mel, first_sample // HOP, 2 * cut.step * block, cut) for block in batch])
        states = leaves("whisper_encoder", {"MEL": inputs})["STATES"]
        for block, given in zip(batch, states, strict=True):
            rows = heard - cut.step * block
            inside = (rows >= 0) & (rows < WHISPER_ROWS)
            rows = rows[inside]
            out[inside] += cut.weights(block)[rows, None, None] * given[rows]
    return out.reshape(-1, AUDIO_ROWS, AUDIO_WIDTH)


def _cut(total_samples: int, reference: bool) -> _Blocks:
    return _Blocks(total_samples // HOP, WHISPER_ROWS if reference else STEP)


def _rows(first: int, stop: int, fps: Fraction, offset_ms: float, cut: _Blocks) -> NDArray[np.int64]:
    """Return the rows int64 [F, 10] that the frames hear."""
    frames = np.arange(first, stop, dtype=np.int64)
    own = frames * (ROWS_PER_SECOND * fps.denominator) // fps.numerator
    own += round(offset_ms * ROWS_PER_SECOND / 1000)
    return np.asarray(np.clip(own[:, None] + _REACH, 0, cut.rows - 1))


def _block(mel: NDArray[np.float32], first: int, start: int, cut: _Blocks) -> NDArray[np.float32]:
    """Return the encoder's input [80, 3000] from column `start` on; after the speech come zeros.

    Zero is not silence but a loud, even noise: what upstream pads with, and the networks were trained on.

    Args:
        mel: a stretch of the speech's, from column `first` on.
    """
    out = np.zeros((MEL_BINS, WHISPER_COLUMNS), np.float32)
    columns = min(cut.columns - start, WHISPER_COLUMNS)
    out[:, :columns] = mel[:, start - first : start - first + columns]
    return out


def _check(given: Span, wanted: Span) -> None:
    if given.first % HOP or given.first > wanted.first or given.stop < wanted.stop:
        seconds = wanted.first / SAMPLE_RATE, wanted.stop / SAMPLE_RATE
        raise InputError(
            f"The speech begins at sample {given.first} and has {given.frames}: the frames need other ones.",
            f"Send what lies between {seconds[0]:.2f} s and {seconds[1]:.2f} s, from a multiple of {HOP} on.",
        )
