"""Files whose streams are more than they announced."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import VideoError
from lipserve.files.source import demuxed, open_source
from lipserve.media.decode import read
from lipserve.media.probe import probe

PACKET = 188  # bytes, of a transport stream
ANNOUNCED, STRAY = 0x100, 0x900  # numbers of streams in it
FRAMES = 50


def transport_stream(codec: str) -> bytes:
    """Return two seconds of sound or pictures, whose last but one packet is of no announced stream."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        if codec == "mp2":
            sound = container.add_stream(codec, rate=48_000, layout="mono")
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            block.sample_rate, block.time_base = 48_000, Fraction(1, 48_000)
            for number in range(FRAMES):
                block.pts = 1152 * number
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
        else:
            pictures = container.add_stream(codec, rate=25, width=64, height=48, pix_fmt="yuv420p")
            pictures.codec_context.gop_size = 1
            for number in range(FRAMES):
                shade = np.full((48, 64, 3), 4 * number, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(shade, "rgb24")))
            container.mux(pictures.encode(None))
    data = bytearray(file.getvalue())
    begun = [
        at
        for at in range(0, len(data), PACKET)
        if data[at + 1] & 0x40 and (data[at + 1] & 0x1F) << 8 | data[at + 2] == ANNOUNCED
    ]
    data[begun[-2] + 1 : begun[-2] + 3] = (0x4000 | STRAY).to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize("codec", ["mp2", "mpeg2video"])
def test_a_stream_that_turns_up_late_ends_no_reading(codec: str) -> None:
    data = transport_stream(codec)
    with open_source(data, VideoError) as container:
        (stream,) = container.streams
        sizes = [packet.size for packet in demuxed(container, stream)]
    assert len(sizes) > 0.9 * FRAMES
    assert sizes.index(0) == len(sizes) - 1  # the empty packet, which flushes a decoder


def test_a_speech_beside_which_a_stream_turns_up_is_heard() -> None:
    assert len(audio.load(transport_stream("mp2"))) == pytest.approx(FRAMES * 1152 / 3, rel=0.2)


def test_a_video_beside_which_a_stream_turns_up_is_seen_whole() -> None:
    data = transport_stream("mpeg2video")
    assert sum(1 for _ in read(data, probe(data), threads=1)) == FRAMES
