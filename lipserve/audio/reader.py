"""Decode the sound of any file, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Discard, Disposition
from numpy.typing import NDArray

from lipserve.errors import AudioError
from lipserve.media.picture import MediaSource
from lipserve.media.source import open_source

Block = NDArray[np.float32]
"""Samples [channels, n], nominally in [-1, 1]."""

_JITTER = 0.1  # seconds that timestamps may be late by before sound is taken to be missing
_BREAK = 10.0  # seconds: a longer jump is a clock that restarted, not a gap (as in FFmpeg's own program)

_MIX = {"rematrix_maxval": "1"}  # the weights of a mix sum to 1 at most, so that it cannot clip


class AudioReader:
    """The sound of one open file: its first audio stream.

    What cannot be decoded is left out, and short holes in the timestamps are filled with silence, so that
    what follows stays in its place. A stream that begins after the file's pictures begins with silence.

    Attributes:
        rate: samples a second of the source.
        channels: of the source.
        seconds: what the file says its length is, or None.
        early: seconds that the sound begins before the file's pictures; `blocks` gives them like the rest.
    """

    def __init__(self, container: InputContainer) -> None:
        if not container.streams.audio:
            raise AudioError("The file holds no sound.", "Send a file with an audio stream as the speech.")
        self._container = container
        self._stream = container.streams.audio[0]
        for other in container.streams:
            if other is not self._stream:
                other.discard = Discard.all
        frames = self._decode()
        first = next(frames, None)
        if first is None:
            raise AudioError("No sound could be decoded.", "Send the whole file, or convert it to WAV.")
        self._frames = chain((first,), frames)
        pictures = _first_picture(container)
        self.early = 0.0 if pictures is None or first.time is None else max(0.0, pictures - first.time)
        self.rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.seconds = None if container.duration is None else container.duration / av.time_base

    def blocks(self, rate: int, channels: int) -> Iterator[Block]:
        """Yield the sound at `rate`, as 1 channel (FFmpeg's downmix: stereo is averaged) or 2.

        Call it once. Blocks have any length above 0.

        Raises:
            AudioError: the sound cannot be converted, or is not finite.
        """
        resampler: av.AudioResampler | None = None
        shape = None
        try:
            for placed in self._placed():
                frame = _known_layout(placed)
                if shape != _shape(frame):
                    shape = _shape(frame)
                    yield from _converted(resampler, None)
                    layout = "mono" if channels == 1 else "stereo"
                    resampler = av.AudioResampler("fltp", layout, rate, options=_MIX)
                yield from _converted(resampler, frame)
            yield from _converted(resampler, None)
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                f"The sound cannot be converted to {rate} Hz ({error}).", "Convert it to a 16 kHz WAV file."
            ) from error

    def _decode(self) -> Iterator[av.AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return  # the file ends in the middle: what came before is used
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            yield from (frame for frame in frames if frame.samples)

    def _placed(self) -> Iterator[av.AudioFrame]:
        """Yield the frames with silence where the timestamps say that there is none."""
        due = _first_picture(self._container)  # seconds
        tolerance = 0.0
        for frame in self._frames:
            at = due if frame.time is None else frame.time
            if due is not None and at is not None and tolerance < at - due <= _BREAK:
                yield _silence(frame, round((at - due) * frame.sample_rate))
            due = None if at is None else at + frame.samples / frame.sample_rate
            tolerance = _JITTER
            frame.pts = None  # counting samples is exact
            yield frame


@contextmanager
def open_audio(source: MediaSource) -> Iterator[AudioReader]:
    """Open the sound of a file.

    Raises:
        AudioError: the file is empty, no media, or without sound.
    """
    with open_source(source, AudioError) as container:
        yield AudioReader(container)


def _converted(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[Block]:
    if resampler is None:
        return
    for converted in resampler.resample(frame):
        if converted is None:  # a resampler that has nothing to do hands the end on as well
            continue
        block = cast(Block, converted.to_ndarray())
        if not np.isfinite(block).all():
            raise AudioError("The speech holds values that are no numbers.", "Render the speech again.")
        yield block


def _known_layout(frame: av.AudioFrame) -> av.AudioFrame:
    """Return the frame with a layout that FFmpeg can mix, where the file names none.

    One channel is mono and two are stereo; of more, nobody can tell what they are: they are averaged.
    """
    channels = frame.layout.nb_channels
    if frame.layout.name != f"{channels} channels":
        return frame
    samples = frame.to_ndarray()
    if channels <= 2:
        named = av.AudioFrame.from_ndarray(samples, frame.format.name, "mono" if channels == 1 else "stereo")
    else:
        if not frame.format.is_planar:
            samples = samples.reshape(-1, channels).T
        mean = samples.mean(axis=0, keepdims=True)
        if samples.dtype == np.uint8:
            mean -= 128
        if samples.dtype.kind in "iu":
            mean /= 2.0 ** (8 * samples.itemsize - 1)
        named = av.AudioFrame.from_ndarray(mean.astype(np.float32), "fltp", "mono")
    named.sample_rate, named.time_base = frame.sample_rate, frame.time_base
    return named


def _silence(like: av.AudioFrame, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(like.format.name, like.layout.name, samples)
    frame.sample_rate, frame.time_base = like.sample_rate, like.time_base
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(zero * plane.buffer_size)
    return frame


def _shape(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _first_picture(container: InputContainer) -> float | None:
    """Return when the file's pictures begin, seconds; None where it has none (a cover is none)."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if stream.start_time is not None
        and stream.time_base is not None
        and not stream.disposition & Disposition.attached_pic
    ]
    return min(starts, default=None)
