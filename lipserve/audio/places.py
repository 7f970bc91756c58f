"""Sounds in their places: a file from its beginning on, a speech on the clock of the result, ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from lipserve.audio.convert import Block
from lipserve.audio.loudness import RATE
from lipserve.audio.reader import open_audio
from lipserve.files.picture import MediaSource

_FADE = RATE // 100  # samples in which one sound gives way to another


@dataclass(frozen=True)
class Voice:
    """A speech in its place.

    Attributes:
        begin: where the file's first sample lies, seconds of the result; below 0: its first part is unheard.
        start, end: what is heard of it, seconds of the result.
        track: which audio stream, as for `lipserve.audio.load`.
    """

    source: MediaSource
    begin: float
    start: float
    end: float
    track: int | None = None


class Stream:
    """A file's sound from its beginning on: silence after its end, or the same `again`.

    Args:
        beside: from the file's first picture on; what is heard before it is left out.
    """

    def __init__(
        self,
        source: MediaSource,
        opened: ExitStack,
        track: int | None = None,
        again: bool = False,
        beside: bool = False,
    ) -> None:
        self._source, self._opened, self._track, self._again = source, opened, track, again
        self._early = 0.0
        self._rest = np.zeros((2, 0), np.float32)
        self._blocks = self.all()
        if beside and self._early:
            self._blocks = _after(self._blocks, round(self._early * RATE))

    def all(self) -> Iterator[Block]:
        reader = self._opened.enter_context(open_audio(self._source, self._track))
        self._early = reader.early
        if reader.channels > 1:
            return reader.blocks(RATE, 2)
        return (np.repeat(block, 2, axis=0) for block in reader.blocks(RATE, 1))  # as loud as it was

    def __call__(self, length: int) -> Block:
        """Return the next samples [2, length]."""
        parts, have, empty = [self._rest], self._rest.shape[1], False
        while have < length:
            block = next(self._blocks, None)
            if block is None:
                if not self._again or empty:
                    parts.append(np.zeros((2, length - have), np.float32))
                    break
                self._blocks, empty = self.all(), True
                continue
            parts.append(block)
            have, empty = have + block.shape[1], False
        joined = np.concatenate(parts, axis=1)
        self._rest = joined[:, length:]
        return joined[:, :length]


def _after(blocks: Iterator[Block], skip: int) -> Iterator[Block]:
    """Yield the blocks without their first samples."""
    for block in blocks:
        if skip < block.shape[1]:
            yield block[:, skip:]
        skip = max(0, skip - block.shape[1])


class Placed:
    """A voice on the clock of the result; nothing is read before it is heard."""

    def __init__(self, voice: Voice, opened: ExitStack) -> None:
        self._voice, self._opened = voice, opened
        self._heard = Ranges([(voice.start, voice.end)])
        self._begin = round(voice.begin * RATE)
        self._stream: Stream | None = None
        self._at = 0  # samples of the speech that have been read

    def __call__(self, first: int, length: int) -> Block:
        gains = self._heard(first, length)
        if not gains.any():
            return np.zeros((2, length), np.float32)
        if self._stream is None:
            self._stream = Stream(self._voice.source, self._opened, self._voice.track)
        skip = first - self._begin - self._at
        silent = min(length, max(0, -skip))  # before the speech begins
        while skip > 0:
            part = min(skip, RATE)
            self._stream(part)
            self._at, skip = self._at + part, skip - part
        block = np.concatenate([np.zeros((2, silent), np.float32), self._stream(length - silent)], axis=1)
        self._at += length - silent
        return np.asarray(block * gains, np.float32)


class Ranges:
    """Gains of a sound that is heard in some ranges only: 0 outside, 1 inside, short fades within."""

    def __init__(self, ranges: Sequence[tuple[float, float]]) -> None:
        self._ranges = [(round(start * RATE), round(end * RATE)) for start, end in ranges]

    def __call__(self, first: int, length: int) -> Block:
        """Return the gains float32 [1, length] of samples from `first` on."""
        gains = np.zeros((1, length), np.float32)
        at = np.arange(first, first + length)
        for start, stop in self._ranges:
            if start < first + length and first < stop:
                near = np.minimum(at - start + 1, stop - at)
                np.maximum(gains, np.clip(near / _FADE, 0, 1).astype(np.float32), out=gains)
        return gains
