"""An animation moves as it was made to."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.errors import LimitError, VideoError
from lipserve.media.cut import cut
from lipserve.media.decode import read
from lipserve.media.index import scan
from lipserve.media.probe import probe

Clip = Callable[..., bytes]
NumberOf = Callable[[NDArray[np.uint8]], int]


def _animation(images: list[NDArray[np.uint8]], milliseconds: int = 40) -> bytes:
    """Return RGBA images [H, W, 4] as FFmpeg writes them: only what changes, over what was there."""
    file = io.BytesIO()
    with av.open(file, "w", format="webp") as output:
        stream = output.add_stream(
            "libwebp_anim", rate=Fraction(1000, milliseconds), options={"lossless": "1"}
        )
        stream.height, stream.width, _ = images[0].shape
        stream.pix_fmt = "bgra"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format="bgra")
            frame.pts, frame.time_base = number, Fraction(milliseconds, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _moving(frames: int) -> list[NDArray[np.uint8]]:
    """Return a small square that moves over a plain ground, and says its number in its colour."""
    images = []
    for number in range(frames):
        image = np.full((48, 96, 4), (90, 90, 90, 255), np.uint8)
        image[10:20, 4 * number : 4 * number + 10] = (10 * number, 10 * number, 10 * number, 255)
        images.append(image)
    return images


def test_frames_come_in_order_at_their_times() -> None:
    data = _animation(_moving(20))
    assert data.count(b"ANMF") == 20
    index, info = scan(data), probe(data)
    assert (info.fps, info.frames, info.clock, info.still, info.warnings) == (25, 20, "counted", False, ())
    luma = [picture.y.astype(int) for picture in read(data, info)]
    for number, picture in enumerate(luma):
        square = 16 + 219 * 10 * number / 255
        assert np.abs(picture[12:18, 4 * number + 2 : 4 * number + 8] - square).max() <= 2
        assert np.abs(picture[30:] - (16 + 219 * 90 / 255)).max() <= 2
    for first in (0, 7, 18):
        part = cut(data, index, info, first, 2)
        assert [p.y.tolist() for p in read(part, info, first, 2)] == [
            p.tolist() for p in luma[first : first + 2]
        ]


def test_parts_that_vanish_leave_the_matte() -> None:
    images = [np.zeros((32, 64, 4), np.uint8) for _ in range(3)]
    for number, image in enumerate(images):
        image[:, 20 * number : 20 * number + 16] = (200, 80, 40, 255)
    info = probe(_animation(images))
    assert "transparent" in info.warnings[0]
    pictures = list(read(_animation(images), replace(info, matte="black")))
    for number, picture in enumerate(pictures):
        shown = picture.y[16, [8, 28, 48]] > 60
        assert shown.tolist() == [number == place for place in range(3)]


def test_a_still_is_decoded_as_ever(clip: Clip) -> None:
    data = clip(1, codec="libwebp", container="webp")
    info = probe(data)
    assert (info.still, info.codec, info.pixel_format, info.warnings) == (True, "webp", "yuv420p", ())


def test_damage_and_size_are_refused_or_told() -> None:
    data = _animation(_moving(20))
    assert "cut short" in probe(data[: len(data) * 2 // 3]).warnings[0]
    huge = data[:24] + b"\xff\xff\xff\xff\xff\xff" + data[30:]
    with pytest.raises(LimitError):
        probe(huge)
    broken = data.replace(b"VP8L", b"VP8?")
    with pytest.raises(VideoError, match="No frame"):
        probe(broken)
    rng = np.random.default_rng(0)
    for at in rng.integers(30, len(data) - 40, 30).tolist():
        mutated = data[:at] + rng.bytes(8) + data[at + 8 :]
        try:
            info = probe(mutated)
            assert len(list(read(mutated, info, 0, min(info.frames, 40)))) == min(info.frames, 40)
        except (VideoError, LimitError):
            pass
