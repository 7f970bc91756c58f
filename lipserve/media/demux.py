"""Packets of a video stream, from any file, whole or damaged."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lipserve.cancellation import look
from lipserve.files.picture import MAX_PIXELS
from lipserve.files.source import demuxed
from lipserve.media import png
from lipserve.media.webp import WebpDecoder

VideoPacket: TypeAlias = "Packet[VideoStream]"  # PyAV's class is generic in its type stubs alone

SEEK_WORTH = 2.0  # seconds of video that decode sooner than a seek pays
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave alpha out
_STEPS_BACK = (0.0, 2.0, 10.0)  # seconds before the target, where a seek landed behind it


def has_alpha_beside(stream: VideoStream) -> bool:
    """Return whether a WebM stream has a second picture with the opacity beside each."""
    return stream.metadata.get("alpha_mode") == "1" and stream.codec_context.name in _WITH_ALPHA


def decoder(stream: VideoStream, threads: int) -> VideoCodecContext | WebpDecoder:
    """Return the stream's decoder, one that reads all of its pictures.

    Args:
        threads: 0: as many as there are cores. One that has decoded before keeps those that it had.
    """
    context = _decoder(stream)
    if isinstance(context, WebpDecoder) or not context.is_open:
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_count = threads
        context.thread_type = "AUTO"
    return context


def _decoder(stream: VideoStream) -> VideoCodecContext | WebpDecoder:
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
