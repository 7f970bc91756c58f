"""The sound of a result that is more than its speech: several speeches, a background, loudness.

Everything is made block by block: memory does not grow with the length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np

from lipserve.audio.convert import Block
from lipserve.audio.loudness import PEAK, RATE, SILENT, Ducker, Limiter, integrated
from lipserve.audio.reader import open_audio
from lipserve.files.picture import MediaSource

_STEP = RATE // 2  # samples that are mixed at a time
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


@dataclass(frozen=True)
class Sound:
    """The sound of a result.

    Attributes:
        voices: the speeches.
        own: the video, whose own sound is heard where no voice has the word; None: it is not heard.
        background: a sound file (or the video) under the voices. It steps back while they are heard, and is
            repeated if it is shorter than the result.
        background_lufs: its loudness as a whole; None: as it is.
        loudness: of the result as a whole, LUFS; None: as it comes.
    """

    voices: Sequence[Voice]
    own: MediaSource | None = None
    background: MediaSource | None = None
    background_lufs: float | None = None
    loudness: float | None = None


@contextmanager
def soundtrack(sound: Sound, seconds: float) -> Iterator[Path]:
    """Give the path of a sound file that lasts as long as the result (48 kHz stereo); it is removed after.

    Raises:
        AudioError: a file holds no sound. OptionsError: it has no such track.
    """
    count = round(seconds * RATE)
    with tempfile.TemporaryDirectory(prefix="lipserve-sound-") as folder:
        path = Path(folder) / "mixed.wav"
        _write(path, _limited(_mixed(sound, count), Limiter()), count)
        if sound.loudness is not None:
            loud = integrated(_read(path))
            gain = 10 ** ((sound.loudness - loud) / 20) if loud > SILENT else 1.0
            normal = Path(folder) / "normal.wav"
            _write(normal, _limited(_read(path), Limiter(gain, PEAK)), count)
            path.unlink()
            path = normal
        yield path


def _mixed(sound: Sound, count: int) -> Iterator[Block]:
    """Yield the result's sound, `count` samples."""
    with ExitStack() as opened:
        voices = [_Placed(voice, opened) for voice in sound.voices]
        talking = _Ranges([(voice.start, voice.end) for voice in sound.voices])
        own = _Stream(sound.own, opened, beside=True) if sound.own is not None else None
        bed = _bed(sound, opened)
        ducker = Ducker() if bed else None
        for first in range(0, count, _STEP):
            length = min(_STEP, count - first)
            block = np.zeros((2, length), np.float32)
            for voice in voices:
                block += voice(first, length)
            if own is not None:
                block += own(length) * (1 - talking(first, length))
            if ducker is None or bed is None:
                yield block
            else:
                under = bed(length)
                if sound.own is sound.background:  # it is heard at full loudness elsewhere
                    under = under * talking(first, length)
                yield from ducker(block, under)
        if ducker is not None:
            yield from ducker.finish()


def _bed(sound: Sound, opened: ExitStack) -> Callable[[int], Block] | None:
    source = sound.background
    if source is None:
        return None
    gain = 1.0
    if sound.background_lufs is not None:
        with ExitStack() as once:
            loud = integrated(_Stream(source, once).all())
        gain = 10 ** ((sound.background_lufs - loud) / 20) if loud > SILENT else 1.0
    stream = _Stream(source, opened, again=True, beside=source is sound.own)

    def next_block(length: int) -> Block:
        return np.asarray(stream(length) * gain, np.float32)

    return next_block


class _Stream:
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


class _Placed:
    """A voice on the clock of the result; nothing is read before it is heard."""

    def __init__(self, voice: Voice, opened: ExitStack) -> None:
        self._voice, self._opened = voice, opened
        self._heard = _Ranges([(voice.start, voice.end)])
        self._begin = round(voice.begin * RATE)
        self._stream: _Stream | None = None
        self._at = 0  # samples of the speech that have been read

    def __call__(self, first: int, length: int) -> Block:
        gains = self._heard(first, length)
        if not gains.any():
            return np.zeros((2, length), np.float32)
        if self._stream is None:
            self._stream = _Stream(self._voice.source, self._opened, self._voice.track)
        skip = first - self._begin - self._at
        silent = min(length, max(0, -skip))  # before the speech begins
        while skip > 0:
            part = min(skip, RATE)
            self._stream(part)
            self._at, skip = self._at + part, skip - part
        block = np.concatenate([np.zeros((2, silent), np.float32), self._stream(length - silent)], axis=1)
        self._at += length - silent
        return np.asarray(block * gains, np.float32)


class _Ranges:
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


def _limited(blocks: Iterator[Block], limiter: Limiter) -> Iterator[Block]:
    for block in blocks:
        yield from limiter(block)
    yield from limiter.finish()


def _write(path: Path, blocks: Iterator[Block], count: int) -> None:
    """Write `count` samples as 32-bit float; RF64 where a WAV file would be too long."""
    with av.open(str(path), "w", format="wav", options={"rf64": "auto"}) as output:
        stream = output.add_stream("pcm_f32le", rate=RATE, layout="stereo")
        left = count
        for block in chain(blocks, _silence()):
            part = np.ascontiguousarray(block[:, :left].T, np.float32).reshape(1, -1)
            left -= block[:, :left].shape[1]
            if part.size:
                frame = av.AudioFrame.from_ndarray(part, "flt", "stereo")
                frame.sample_rate = RATE
                output.mux(stream.encode(frame))
            if not left:
                break
        output.mux(stream.encode(None))


def _silence() -> Iterator[Block]:
    while True:
        yield np.zeros((2, _STEP), np.float32)


def _read(path: Path) -> Iterator[Block]:
    with open_audio(path) as reader:
        yield from reader.blocks(RATE, 2)
