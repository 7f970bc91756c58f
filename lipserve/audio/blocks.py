"""Overlapping blocks of a long speech for Whisper's encoder, faded into each other at the borders.

Blocks begin at absolute places, one every `step` rows, and overlap: where two of them share rows one fades
into the other. So what a row says does not depend on which stretch of the speech is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.mel import mel_whisper
from lipserve.contracts import MEL_BINS, SAMPLE_RATE
from lipserve.errors import InputError
from lipserve.segments import Span

ROWS_PER_SECOND = 50
HOP = 160  # samples of a mel column; a row is two of them
MARGIN = 800  # samples around a block that its mel depends on (200), rounded up to a hop of any tier
BATCH = 8  # blocks in one call

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """The blocks of one speech.

    Attributes:
        columns: of the whole speech's mel.
        length: rows of a block; `step`: from one block to the next, as many where they do not overlap. A
            multiple of 5, so that blocks begin on a hop of either tier.
    """

    columns: int
    length: int
    step: int

    @classmethod
    def of_speech(cls, total_samples: int, length: int, step: int) -> Blocks:
        """Return the blocks of a speech of so many samples."""
        return cls(total_samples // HOP, length, step)

    @property
    def rows(self) -> int:
        """Rows of the whole speech; one at least, so that the shortest speech is something."""
        return max(1, self.columns // 2)

    @property
    def count(self) -> int:
        return 1 + max(0, -(-(self.rows - self.length) // self.step))

    def of(self, rows: Rows) -> range:
        """Return the blocks that have a say in any of the rows between the lowest and the highest."""
        first = max(0, -(-(int(rows.min()) - self.length + 1) // self.step))
        return range(first, min(self.count, int(rows.max()) // self.step + 1))

    def weights(self, block: int) -> NDArray[np.float32]:
        """Return the share [length] of a block in each of its rows; those of two blocks add up to one."""
        shared = self.length - self.step
        rise = np.arange(1, shared + 1, dtype=np.float32) / np.float32(shared + 1)
        out = np.ones(self.length, np.float32)
        if shared and block > 0:
            out[:shared] = rise
        if shared and block < self.count - 1:
            out[self.step :] = 1 - rise
        return out

    def needed(self, rows: Rows, total_samples: int) -> Span:
        """Return the samples that the blocks of these rows depend on; the first is a multiple of 800."""
        blocks = self.of(rows)
        begin = 2 * self.step * blocks.start * HOP - MARGIN
        end = 2 * (self.step * (blocks.stop - 1) + self.length) * HOP + MARGIN
        first = max(0, begin)
        return Span(first, min(total_samples, end) - first)

    def mel(self, mel: NDArray[np.float32], first: int, block: int, after: float) -> NDArray[np.float32]:
        """Return a block's input [80, 2 * length].

        Args:
            mel: a stretch of the speech's, from column `first` on.
            after: what stands where the speech has ended.
        """
        start = 2 * self.step * block
        out = np.full((MEL_BINS, 2 * self.length), after, np.float32)
        columns = min(self.columns - start, 2 * self.length)
        out[:, :columns] = mel[:, start - first : start - first + columns]
        return out

    def faded(
        self,
        rows: Rows,
        samples: NDArray[np.float32],
        first_sample: int,
        peak: float,
        after: float,
        network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Return a network's output for the given rows, each the faded sum of its blocks.

        Args:
            rows: int64, of any shape.
            samples: float32 [n], 16 kHz, a stretch of the speech that holds what `needed` says.
            first_sample: of the stretch in the speech, a multiple of 160.
            peak: `audio.mel.whisper_peak` of the whole speech.
            network: mels [B, 80, 2 * length] to values [B, length, ...].
        """
        mel = mel_whisper(samples, peak)
        out: NDArray[np.float32] | None = None
        blocks = self.of(rows)
        for begin in range(blocks.start, blocks.stop, BATCH):
            batch = range(begin, min(begin + BATCH, blocks.stop))
            given = network(np.stack([self.mel(mel, first_sample // HOP, block, after) for block in batch]))
            if out is None:
                out = np.zeros((*rows.shape, *given.shape[2:]), np.float32)
            for block, values in zip(batch, given, strict=True):
                own = rows - self.step * block
                inside = (own >= 0) & (own < self.length)
                own = own[inside]
                share = self.weights(block)[own]
                out[inside] += share.reshape(-1, *(1,) * (values.ndim - 1)) * values[own]
        assert out is not None
        return out


def check(given: Span, wanted: Span) -> None:
    """Raise InputError where a stretch of speech starts off the grid, or does not hold what is wanted."""
    if given.first % HOP or given.first > wanted.first or given.stop < wanted.stop:
        seconds = wanted.first / SAMPLE_RATE, wanted.stop / SAMPLE_RATE
        raise InputError(
            f"The speech begins at sample {given.first} and has {given.count} samples: the frames need "
            "others.",
            f"Send the samples from {seconds[0]:.2f} s to {seconds[1]:.2f} s, beginning at a multiple of "
            f"{HOP}.",
        )
