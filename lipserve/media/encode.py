"""Encoding of pictures to H.264 in MP4, with the speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from lipserve.cancellation import look
from lipserve.errors import InternalError
from lipserve.files.picture import Colour, MediaSource, Picture, Plane
from lipserve.media.output import AllOrNothing, Mp4Output, Target
from lipserve.media.speech import SpeechTrack


def encoded_size(width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) that a picture is encoded at: both even.

    H.264 4:2:0 has one chroma sample for two luma samples, and its cropping counts in pairs as well, so
    an odd picture gains a copy of its last column or row.
    """
    return width + width % 2, height + height % 2


class VideoWriter(AllOrNothing):
    """Writes pictures as an MP4 of constant frame rate: picture i is shown at exactly `i / fps` seconds.

    A context manager: leaving it finishes the file, or gives it up where the block failed. The planes
    reach x264 bit-exact (see `encoded_size` for odd sizes). Every group of pictures is closed and starts with
    an IDR frame, so that files with the same settings can be joined (`lipserve.media.join`); equal input
    and `threads` give equal bytes.

    Args:
        output: a path, or an empty file open for writing, reading and seeking (it is left open).
        width, height: of the pictures, pixels.
        fps: frames a second.
        colour: how the result is tagged (in the bitstream and in the container).
        pixel_aspect: width / height of a pixel.
        crf: x264 quality, 0 lossless to 51.
        preset: x264 speed.
        threads: of x264; 0 is as many as it likes, 1 costs the least CPU in all.
        parameter_set: number of the H.264 parameter sets, 0 to 31; files with different ones can be joined.
        audio: speech to encode as AAC beside the pictures (`lipserve.media.speech`), as long as they are.
        audio_track: which audio stream of it, as for `lipserve.audio.load`.

    Raises:
        AudioError: `audio` holds no sound. OptionsError: it has no such track.
        StorageError: the disk is full.
    """

    def __init__(
        self,
        output: Target,
        width: int,
        height: int,
        fps: Fraction,
        colour: Colour,
        pixel_aspect: Fraction = Fraction(1),
        *,
        crf: int = 18,
        preset: str = "veryfast",
        threads: int = 0,
        parameter_set: int = 0,
        audio: MediaSource | None = None,
        audio_track: int | None = None,
    ) -> None:
        self._size = (width, height)
        self._fps = fps
        self._output = Mp4Output(output)
        try:
            self._stream = self._output.container.add_stream(
                "libx264", rate=fps, options=_codec_options(colour, crf, preset, parameter_set)
            )
            context = self._stream.codec_context
            context.width, context.height = encoded_size(width, height)
            context.time_base = 1 / fps
            context.sample_aspect_ratio = pixel_aspect
            context.thread_count = threads
            context.thread_type = "FRAME"  # PyAV's own choice is slices: more bits, no less CPU
            self._speech = SpeechTrack(self._output, audio, audio_track) if audio is not None else None
            self._frame = av.VideoFrame(context.width, context.height, "yuv420p")
        except BaseException:
            self._output.abort()
            raise
        self.frames = 0

    def write(self, picture: Picture, edit: Callable[[Picture], None] | None = None) -> None:
        """Encode the next picture.

        Args:
            edit: changes the writer's own copy of the picture, in place, before it is encoded.
        """
        if picture.y.shape != (self._size[1], self._size[0]):
            raise InternalError(f"A picture of {picture.y.shape[::-1]} does not fit a video of {self._size}.")
        self._frame.make_writable()  # x264 has copied the last one, unless FFmpeg still holds it
        sources = (picture.y, picture.u, picture.v)
        targets = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
                :, : plane.width
            ]
            for plane in self._frame.planes
        ]
        used = [
            target[: source.shape[0], : source.shape[1]]
            for source, target in zip(sources, targets, strict=True)
        ]
        for source, target in zip(sources, used, strict=True):
            target[:] = source
        if edit is not None:
            edit(Picture(used[0], used[1], used[2], picture.colour))
        for target, part in zip(targets, used, strict=True):
            _pad(target, *part.shape)
        self._frame.pts = self.frames
        self.frames += 1
        self._encode(self._frame)

    def close(self) -> None:
        """Encode what is still held back and finish the file."""
        if self.frames == 0:
            self._output.abort()
            raise InternalError("A video without pictures was requested.")
        self._encode(None)
        if self._speech is not None:
            self._speech.finish(self.frames / self._fps)
        self._output.close()

    def abort(self) -> None:
        """Give the result up; a file that was created for it is removed."""
        if self._speech is not None:
            self._speech.close()
        self._output.abort()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        for packet in self._packets(frame):
            look()  # at the end x264 still holds dozens of pictures, and a slow preset takes seconds for each
            packet.stream = self._stream
            decoded = packet.dts or 0
            packet.duration = 1
            self._output.mux(packet)
            if self._speech is not None:
                self._speech.advance(decoded / self._fps)

    def _packets(self, frame: av.VideoFrame | None) -> Iterator[av.Packet[Any]]:
        """Yield each packet as soon as it is there; None drains the encoder."""
        with self._output.failures():
            made = self._stream.codec_context.encode_lazy(frame)
        while True:
            with self._output.failures():
                packet = next(made, None)
            if packet is None:
                return
            yield packet


def _codec_options(colour: Colour, crf: int, preset: str, parameter_set: int) -> dict[str, str]:
    """Return x264's options, and FFmpeg's for the tags of colour."""
    bt601 = (
        "bt470bg" if colour.primaries == "bt470bg" else "smpte170m"
    )  # one matrix, two names: 625, 525 lines
    return {
        "crf": str(crf),
        "preset": preset,
        # Parameter sets that depend on these settings alone, never on the content or the length.
        "x264-params": f"stitchable=1:open-gop=0:sps-id={parameter_set}" + _assembly(),
        "colorspace": "bt709" if colour.matrix == "bt709" else bt601,
        "color_primaries": colour.primaries,
        "color_trc": colour.transfer,
        "color_range": "pc" if colour.full_range else "tv",
    }


@cache
def _assembly() -> str:
    """Return which of its code x264 is to use: with that for AVX-512 equal input gives unequal bytes.

    Seen with x264's core 165 on pictures of 160 x 160 to 320 x 320; with that for AVX2, never in 360 files,
    and as fast. A processor that has the one has the other.
    """
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    return ":asm=avx2" if "avx512" in processor else ""


def _pad(plane: Plane, rows: int, columns: int) -> None:
    """Fill what lies past the used rows and columns with the last of them."""
    plane[:rows, columns:] = plane[:rows, columns - 1 : columns]
    plane[rows:] = plane[rows - 1]
