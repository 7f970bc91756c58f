"""The packets of a video stream, from whatever file, whole or damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import TypeAlias, cast

import av
from av.codec.context import CodecContext
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lipserve.cancellation import look
from lipserve.errors import VideoError
from lipserve.files.picture import MediaSource
from lipserve.files.source import demuxed, open_source
from lipserve.media import png
from lipserve.media.webp import WebpDecoder

VideoPacket: TypeAlias = "Packet[VideoStream]"  # PyAV's class is generic in its type stubs alone

SEEK_WORTH = 2.0  # seconds of video that decode sooner than a seek pays
_GENERATE_TIMESTAMPS = int(cast(int, Flags.gen_pts.value))
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave alpha out
_STEPS_BACK = (0.0, 2.0, 10.0)  # seconds before the target, where a seek landed behind it


@contextmanager
def open_video(
    source: MediaSource, options: Mapping[str, str] | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `source` at its main video stream, or raise VideoError. A cover picture is no video."""
    with open_source(source, VideoError, options) as container:
        stream = _main_stream(container)
        if container.format.name == "avi" and stream.codec_context.has_b_frames:
            # AVI has decoding times alone; what is made up from them is wrong where frames are reordered.
            container.flags &= ~_GENERATE_TIMESTAMPS
        yield container, stream


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams of moving pictures: covers, and the tiles of an image, are none."""
    hidden = Disposition.attached_pic | Disposition.dependent
    return [stream for stream in container.streams.video if not stream.disposition & hidden]


def _main_stream(container: InputContainer) -> VideoStream:
    streams = video_streams(container)
    if not streams:
        tiles = any(stream.disposition & Disposition.dependent for stream in container.streams.video)
        heard = (
            "an image in tiles (HEIC)" if tiles else "sound only" if container.streams.audio else "no video"
        )
        raise VideoError(f"The file holds {heard}.", "Send a video, or an image such as JPEG or PNG.")
    best = container.streams.best("video")
    chosen = next(
        (stream for stream in streams if best is not None and stream.index == best.index), streams[0]
    )
    # Without its decoder PyAV gives a stream no context, though the type stubs say otherwise.
    if getattr(chosen, "codec_context", None) is None:
        raise VideoError(
            "The video is of a codec that this build of FFmpeg does not know.",
            "Convert it to a common one, such as H.264 in MP4.",
        )
    return chosen


def has_alpha_beside(stream: VideoStream) -> bool:
    """Tell whether a second picture beside each, of WebM, says how opaque it is."""
    return stream.metadata.get("alpha_mode") == "1" and stream.codec_context.name in _WITH_ALPHA


def decoder(stream: VideoStream) -> VideoCodecContext | WebpDecoder:
    """Return the stream's decoder, not opened yet: one that reads all of its pictures."""
    if stream.codec_context.name == "webp":
        return WebpDecoder(stream.codec_context)
    if not has_alpha_beside(stream):
        return stream.codec_context
    context = CodecContext.create(_WITH_ALPHA[stream.codec_context.name], "r")
    assert isinstance(context, VideoCodecContext)
    return context


def time_base(stream: VideoStream) -> Fraction:
    """Return the seconds of one tick of the stream's timestamps."""
    return stream.time_base or Fraction(1, 90_000)


def packets(container: InputContainer, stream: VideoStream, faults: list[str]) -> Iterator[VideoPacket]:
    """Yield the stream's packets to where the file ends or cannot be followed; `faults` then says why."""
    found = demuxed(container, stream)
    packed = stream.codec_context.name in ("png", "apng")
    if packed:
        png.check(stream.codec_context.extradata or b"")
    while True:
        look()
        try:
            packet = next(found, None)
        except av.FFmpegError as error:
            faults.append(error.strerror or str(error))
            return
        if packet is None:
            return
        if packet.size:
            if packed:
                png.check(bytes(packet))
            yield packet


def packets_covering(
    container: InputContainer, stream: VideoStream, ticks: int | Fraction
) -> Iterator[VideoPacket] | None:
    """Return the packets from a key frame presented at or before `ticks`; None where no seek lands there.

    Where the file begins less than `SEEK_WORTH` before, or its packets are not stamped, from its beginning.
    """
    iterator = packets(container, stream, [])
    head = next(iterator, None)
    second = 1 / time_base(stream)
    if head is None or head.pts is None or ticks - head.pts <= SEEK_WORTH * second:
        return _chain(head, iterator)
    for seconds in _STEPS_BACK:
        try:
            container.seek(int(ticks - int(seconds * second)), stream=stream)
        except av.FFmpegError:
            return None
        iterator = packets(container, stream, [])
        key = next((packet for packet in iterator if packet.is_keyframe and packet.pts is not None), None)
        if key is not None and key.pts is not None and key.pts <= ticks:
            return _chain(key, iterator)
    return None


def _chain(head: VideoPacket | None, rest: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    if head is not None:
        yield head
    yield from rest
