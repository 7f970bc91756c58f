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
from lipserve.audio.places import Placed, Ranges, Stream, Voice
from lipserve.audio.reader import open_audio
from lipserve.files.picture import MediaSource

_STEP = RATE // 2  # samples that are mixed at a time


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
        voices = [Placed(voice, opened) for voice in sound.voices]
        talking = Ranges([(voice.start, voice.end) for voice in sound.voices])
        own = Stream(sound.own, opened, beside=True) if sound.own is not None else None
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
            loud = integrated(Stream(source, once).all())
        gain = 10 ** ((sound.background_lufs - loud) / 20) if loud > SILENT else 1.0
    stream = Stream(source, opened, again=True, beside=source is sound.own)

    def next_block(length: int) -> Block:
        return np.asarray(stream(length) * gain, np.float32)

    return next_block


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
