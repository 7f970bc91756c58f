"""Join the H.264 of several files into one MP4, without encoding it again, and give it its sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.stream import VideoStream

from lipserve.errors import InternalError
from lipserve.files.picture import MediaSource
from lipserve.files.source import demuxed, open_source
from lipserve.media.h264 import ParameterSets
from lipserve.media.output import AllOrNothing, Mp4Output, Target
from lipserve.media.speech import SpeechTrack


@dataclass(frozen=True)
class Mixed:
    """The form of a track whose segments have different parameter sets.

    Attributes:
        segment: one of its segments that `VideoWriter` wrote: the track is described as it is.
        sets: of all segments together.
        delay: most frames that decoding runs ahead of showing, in any of them.
    """

    segment: bytes
    sets: ParameterSets
    delay: int


class Joiner(AllOrNothing):
    """Joins segments that `lipserve.media.encode.VideoWriter` wrote with equal settings and no audio.

    A context manager: leaving it finishes the file, or gives it up where the block failed. Frame k of the
    whole is shown at exactly `k / fps` seconds. The speech is encoded once, while the segments arrive: as
    long as the pictures, cut or with silence after it. Never more than one segment is held.

    Args:
        output: a path, or an empty file open for writing, reading and seeking (it is left open).
        fps: frames a second, of every segment.
        audio: the speech, or None for a silent film.
        audio_track: which audio stream of it, as for `lipserve.audio.load`.
        mixed: where the segments were not all written with equal settings, or are copied.
        streamed: write the result in fragments, while it is being made (`lipserve.media.output`).

    Raises:
        AudioError: `audio` holds no sound. OptionsError: it has no such track. Both from the first `add`.
        InternalError: a segment is no such file, or differs from the first in size or parameter sets.
        StorageError: the disk is full.
    """

    def __init__(
        self,
        output: Target,
        fps: Fraction,
        audio: MediaSource | None = None,
        audio_track: int | None = None,
        mixed: Mixed | None = None,
        streamed: bool = False,
    ) -> None:
        self._fps = fps
        self._audio, self._track = audio, audio_track
        self._output = Mp4Output(output, streamed)
        self._stream: VideoStream | None = None
        self._speech: SpeechTrack | None = None
        self._parameters: tuple[int, int, bytes | None] | None = None
        self._delay = 0  # frames that decoding runs ahead of showing
        self._mixed = mixed
        self.frames = 0

    def add(self, segment: bytes, place: Callable[[Fraction], Fraction | int] | None = None) -> None:
        """Append the next segment, a file in memory.

        Args:
            place: returns the frame of the segment that is shown at a time of the file, seconds; None: frame
                i is shown at `i / fps`.
        """
        place = place or (lambda seconds: seconds * self._fps)
        with open_source(segment, InternalError) as container:
            if [stream.type for stream in container.streams] != ["video"]:
                raise InternalError("A segment to join does not contain exactly one video stream.")
            source = container.streams.video[0]
            stream = self._accept(source)
            shown: list[int] = []
            for packet in demuxed(container, source):
                if packet.size:  # the last one is empty: it would flush a decoder
                    shown.append(self._append(packet, stream, len(shown), place))
        if sorted(shown) != list(range(len(shown))) or not shown:
            raise InternalError("The frames of a segment to join are not evenly spaced from 0 on.")
        self.frames += len(shown)

    def close(self) -> None:
        """Encode the rest of the speech and finish the file."""
        if self.frames == 0:
            raise InternalError("No segments were joined.")
        if self._speech is not None:
            self._speech.finish(self.frames / self._fps)
        self._output.close()

    def abort(self) -> None:
        """Give the result up; a file that was created for it is removed."""
        if self._speech is not None:
            self._speech.close()
        self._output.abort()

    def _accept(self, source: VideoStream) -> VideoStream:
        """Begin with the first segment, and hold the others to it; return the stream that they go to."""
        if self._stream is None:
            if self._mixed is None:
                self._begin(source)
            else:
                with open_source(self._mixed.segment, InternalError) as container:
                    self._begin(container.streams.video[0])
        assert self._stream is not None
        if self._parameters_of(source) != self._parameters:
            raise InternalError("The segments to join differ in size or in their parameter sets.")
        return self._stream

    def _begin(self, template: VideoStream) -> None:
        self._parameters = self._parameters_of(template)
        self._delay = template.codec_context.reorder_depth
        self._stream = self._output.container.add_stream_from_template(template, opaque=True)
        if self._mixed is not None:
            self._delay = self._mixed.delay
            self._stream.codec_context.extradata = self._mixed.sets.to_bytes()
        if self._audio is not None:
            self._speech = SpeechTrack(self._output, self._audio, self._track)

    def _parameters_of(self, source: VideoStream) -> tuple[int, int, bytes | None]:
        """Return what the segments must have in common; the sets of one of `mixed` need only be known."""
        context = source.codec_context
        extradata = context.extradata
        if self._mixed is not None:
            sets, known = ParameterSets.read(extradata), self._mixed.sets
            if sets is not None and known.merged(sets).numbers == known.numbers:
                extradata = None
        return context.width, context.height, extradata

    def _append(
        self,
        packet: av.Packet[VideoStream],
        stream: VideoStream,
        position: int,
        place: Callable[[Fraction], Fraction | int],
    ) -> int:
        """Write a segment's packet, the `position`-th in decoding order; return which frame of it it is."""
        if packet.pts is None or packet.time_base is None or (position == 0 and not packet.is_keyframe):
            raise InternalError("A segment to join does not begin with a key frame, or has no timestamps.")
        shown = Fraction(place(packet.pts * packet.time_base))
        frame = self.frames + int(shown)
        decoded = self.frames + position - self._delay
        if shown.denominator != 1 or decoded > frame:
            raise InternalError(f"A segment to join does not have {self._fps} frames a second.")
        packet.stream = stream
        packet.time_base = 1 / self._fps
        packet.pts, packet.dts, packet.duration = frame, decoded, 1
        self._output.mux(packet)
        if self._speech is not None:
            self._speech.advance(decoded / self._fps)
        return int(shown)
