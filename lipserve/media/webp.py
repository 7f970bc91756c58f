"""Animated WebP, for which FFmpeg has no decoder: it has one for each of its frames.

The form is that of Google's container specification: frames lie anywhere on a canvas, for a number of
milliseconds each, over or instead of what is there, and may be taken away afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av import VideoFrame
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipserve.cancellation import look
from lipserve.files.picture import check_size

_ANIMATED, _ALPHA = 0x02, 0x10  # flags of the first chunk
_MAX_CHUNKS = 200_000  # hours
_SHORTEST, _USUAL = 10, 100  # milliseconds: frames as short as that are shown for this, as browsers do


@dataclass(frozen=True)
class _Part:
    """Where a frame lies, for how many milliseconds, and an image of its own."""

    x: int
    y: int
    width: int
    height: int
    milliseconds: int
    replaces: bool
    vanishes: bool
    image: bytes


def durations(data: bytes) -> list[int]:
    """Return for how many milliseconds each frame of an animation is shown; none of what is none."""
    shown = (part.milliseconds for part in _parts(data))
    return [_USUAL if length <= _SHORTEST else length for length in shown]


class WebpDecoder:
    """Decodes a WebP as a decoder of PyAV does: the canvas of each frame, RGBA, or the one image as it is.

    What cannot be decoded of an animation leaves the canvas as it was.
    """

    def __init__(self, plain: VideoCodecContext) -> None:
        self._plain = plain
        self.options: dict[str, str] = {}
        self.thread_count = 1
        self.thread_type = "AUTO"

    def decode(self, packet: Packet[VideoStream] | None) -> Iterable[VideoFrame]:
        """Return the frames of a packet, which is a whole file; an animation's one after the other."""
        data = b"" if packet is None else bytes(packet)
        if _canvas(data) is None:
            self._plain.options = self.options
            return self._plain.decode(packet)
        return self._frames(data)

    def _frames(self, data: bytes) -> Iterator[VideoFrame]:
        width, height = _canvas(data) or (0, 0)
        check_size(width, height)
        canvas, begun = np.zeros((height, width, 4), np.uint8), False
        for part in _parts(data):
            look()
            place = canvas[part.y : part.y + part.height, part.x : part.x + part.width]
            image = self._image(part)
            if image is not None and image.shape == place.shape:
                place[:], begun = image if part.replaces else _over(image, place), True
            if begun:
                yield VideoFrame.from_ndarray(canvas, "rgba")
            if part.vanishes:
                place[:] = 0

    def _image(self, part: _Part) -> NDArray[np.uint8] | None:
        context = CodecContext.create("webp", "r")
        context.options = self.options
        assert isinstance(context, VideoCodecContext)
        try:
            frames = [*context.decode(Packet(part.image)), *context.decode(None)]
        except av.FFmpegError:
            return None
        if not frames:
            return None
        rgba = frames[0].reformat(
            format="rgba",
            src_colorspace=None if frames[0].format.is_rgb else Colorspace.ITU601,  # by the specification
            src_color_range=ColorRange.JPEG if frames[0].format.is_rgb else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
        )
        return np.asarray(rgba.to_ndarray(), np.uint8)


def _over(image: NDArray[np.uint8], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGBA over RGBA, neither multiplied by its alpha."""
    own = image[..., 3:].astype(np.float32) / 255
    rest = below[..., 3:].astype(np.float32) / 255 * (1 - own)
    alpha = own + rest
    colours = (image[..., :3] * own + below[..., :3] * rest) / np.maximum(alpha, 1e-6)
    return np.asarray(np.concatenate([colours, 255 * alpha], -1).round(), np.uint8)


def _canvas(data: bytes) -> tuple[int, int] | None:
    """Return the size of an animation; None: it is none."""
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < 30 or not data[20] & _ANIMATED:
        return None
    return _number(data, 24) + 1, _number(data, 27) + 1


def _parts(data: bytes) -> Iterator[_Part]:
    at = 12 if _canvas(data) is not None else len(data)
    for _ in range(_MAX_CHUNKS):
        if at + 24 > len(data):
            return
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"ANMF":
            yield _part(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2


def _part(body: bytes) -> _Part:
    x, y, width, height, milliseconds = (_number(body, at) for at in range(0, 15, 3))
    flags = body[15] if len(body) > 15 else 0
    size = struct.pack("<II", width, height)
    head = b"VP8X" + struct.pack("<IB3x", 10, _ALPHA) + size[:3] + size[4:7]
    image = b"WEBP" + head + body[16:]
    return _Part(
        2 * x,
        2 * y,
        width + 1,
        height + 1,
        milliseconds,
        replaces=bool(flags & 2),
        vanishes=bool(flags & 1),
        image=b"RIFF" + struct.pack("<I", len(image)) + image,
    )


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
