"""Decode the sound of any file, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from lipserve.audio.convert import Block, Converter, check_frame, silence
from lipserve.cancellation import look
from lipserve.errors import AudioError, OptionsError
from lipserve.files.damage import TOLERANCE, declared_seconds, missing_tail
from lipserve.files.picture import MediaSource
from lipserve.files.source import demuxed, demuxer, describe, open_checked

_JITTER = 0.1  # seconds that timestamps may be late by before sound is taken to be missing
_BREAK = 10.0  # seconds: a longer jump is a clock that restarted, not a gap (as in FFmpeg's own program)


class AudioReader:
    """The sound of one open file: the audio stream that it flags as its default, or its first one.

    What cannot be decoded is left out, and short holes in the timestamps are filled with silence, so that
    what follows stays in its place. A stream that begins after the file's pictures begins with silence.

    Args:
        track: another audio stream, counted from 0 among them.
        faults: takes, in words, in which ways the sound is not whole, as far as `blocks` has been read.
        sought: seconds by the file's clock: read from about there on, and not from the beginning.

    Attributes:
        rate: samples a second of the source.
        channels: of the source.
        seconds: what the file says its length is, or None.
        early: seconds that the sound begins before the file's pictures; `blocks` gives them like the rest.
        begin: when `blocks` begins, seconds by the file's clock.
    """

    def __init__(
        self,
        container: InputContainer,
        track: int | None = None,
        faults: list[str] | None = None,
        sought: float | None = None,
    ) -> None:
        self._container = container
        self._sought = sought is not None
        self._faults = [] if faults is None else faults
        self._stream = _choose(container.streams.audio, track)
        for other in container.streams:
            if other is not self._stream:
                other.discard = Discard.all
        if sought is not None:
            _seek(container, self._stream, sought)
        frames = self._decode()
        first = next(frames, None)
        if first is None:
            several = ", or name another track with audio_track" if len(container.streams.audio) > 1 else ""
            raise AudioError(
                "No sound could be decoded.", f"Send the whole file, or convert it to WAV{several}."
            )
        self._frames = chain((first,), frames)
        pictures = _first_picture(container)
        self.early = 0.0 if pictures is None or first.time is None else max(0.0, pictures - first.time)
        self.begin = self._begin(first.time, pictures)
        self.rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.seconds = None if container.duration is None else container.duration / av.time_base

    def blocks(self, rate: int, channels: int) -> Iterator[Block]:
        """Yield the sound at `rate`, as 1 channel or 2 (see `lipserve.audio.mix`), in [-1, 1].

        Call it once. Blocks have any length above 0, and never many seconds.

        Raises:
            AudioError: the sound cannot be converted, holds what is no number or 60 dB above full scale, or
                has a rate or channels out of bounds.
        """
        convert: Converter | None = None
        shape = None
        try:
            for gap, frame in self._placed():
                if convert is None or gap or shape != _shape(frame):
                    lead = 0.0
                    if convert is not None:
                        yield from convert(None)
                        lead = convert.lead
                    if gap:  # at the result's rate: the source's, of which nothing came, may be any work
                        yield from silence(round((gap - lead) * rate), channels)
                    convert, shape = Converter(frame, rate, channels), _shape(frame)
                yield from convert(frame)
            if convert is not None:
                yield from convert(None)
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                f"The sound cannot be converted to {rate} Hz ({error}).", "Convert it to a 16 kHz WAV file."
            ) from error

    def _begin(self, first: float | None, pictures: float | None) -> float:
        """Return when `blocks` begins, from the times of the first sound and of the first picture."""
        if pictures is None or first is None:
            return first or pictures or 0.0
        silent_before = 0 < first - pictures <= _BREAK and not self._sought
        return pictures if silent_before else first

    def _decode(self) -> Iterator[av.AudioFrame]:
        packets = demuxed(self._container, self._stream)
        while True:
            look()
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._tell(error.strerror or str(error))
                return  # the file ends in the middle: what came before is used
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._tell("some of it cannot be decoded")
                continue
            # The last packet of PCM is short where the file, written live, does not tell its length.
            damaged = packet.is_corrupt and not self._stream.codec_context.name.startswith("pcm")
            if damaged or any(frame.is_corrupt for frame in frames):
                self._tell("parts of it are missing")
            yield from (frame for frame in frames if frame.samples)

    def _placed(self) -> Iterator[tuple[float, av.AudioFrame]]:
        """Yield the frames, each with the seconds of silence that the timestamps tell of before it."""
        due = None if self._sought else _first_picture(self._container)  # seconds
        tolerance, end = 0.0, None
        for frame in self._frames:
            check_frame(frame)
            at = due if frame.time is None else frame.time
            late = 0.0 if due is None or at is None else at - due
            gap = late if tolerance < late <= _BREAK else 0.0
            seconds = frame.samples / frame.sample_rate
            due = None if at is None else at + seconds
            end = (at or 0.0) + seconds if end is None else end + gap + seconds
            frame.pts = None  # counting samples is exact
            yield gap, frame
            tolerance = _JITTER
        promised = declared_seconds(self._container, self._stream)
        if promised is not None and (end or 0.0) < promised - TOLERANCE:
            self._tell("it ends before its header says")

    def _tell(self, fault: str) -> None:
        if fault not in self._faults:
            self._faults.append(fault)


@contextmanager
def open_audio(
    source: MediaSource,
    track: int | None = None,
    faults: list[str] | None = None,
    sought: float | None = None,
) -> Iterator[AudioReader]:
    """Open the sound of a file.

    Args:
        track, faults, sought: as for `AudioReader`.

    Raises:
        AudioError: the file is empty, no media, without sound, or cannot be sought in.
        OptionsError: it has no such track.
    """
    with (
        open_checked(source, AudioError) as file,
        demuxer(file, describe(source), AudioError) as container,
    ):
        if faults is not None:
            faults += missing_tail(file)
        yield AudioReader(container, track, faults, sought)


def _choose(streams: Sequence[AudioStream], track: int | None) -> AudioStream:
    if not streams:
        raise AudioError("The file contains no sound.", "Send a file with an audio stream as the speech.")
    if track is None:
        return next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    if track >= len(streams):
        tracks = "one sound track" if len(streams) == 1 else f"{len(streams)} sound tracks"
        raise OptionsError(
            f"There is no audio_track={track}: the speech has {tracks}.",
            "Use a number counted from 0, or leave the option out.",
        )
    return streams[track]


def _seek(container: InputContainer, stream: AudioStream, seconds: float) -> None:
    try:
        container.seek(round(seconds / (stream.time_base or 1)), stream=stream)
    except (av.FFmpegError, OverflowError) as error:
        raise AudioError("The sound cannot be sought in.", "Convert the file to MP4.") from error


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
