"""Fields become whole pictures, each in its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.media.cut import cut, piece
from lipserve.media.decode import read
from lipserve.media.index import scan
from lipserve.media.probe import probe

Clip = Callable[..., bytes]
NumberOf = Callable[[NDArray[np.uint8]], int]

SIZE = (160, 128)
OPTIONS = {"g": "12", "bf": "2", "crf": "10"}


def _field(time: int) -> NDArray[np.uint8]:
    """Return luma [H, W] at a field's time: a soft bar that moves three pixels a field."""
    columns = np.arange(SIZE[0])
    bar = 60 + 120 * np.exp(-(((columns - 10 - 3 * time) / 8) ** 2))
    return np.tile(bar, (SIZE[1], 1)).astype(np.uint8)


def interlaced(frames: int, codec: str = "libx264", top_first: bool = True) -> bytes:
    """Return a video whose frame n holds the fields of the times 2 n and 2 n + 1."""
    file = io.BytesIO()
    order = "tff" if top_first else "bff"
    options = {**OPTIONS, "x264-params": f"{order}=1"} if codec == "libx264" else {"flags": "+ilme+ildct"}
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        graph = av.filter.Graph()
        entry = graph.add_buffer(width=SIZE[0], height=SIZE[1], format="yuv420p", time_base=Fraction(1, 25))
        flag, sink = graph.add("setfield", order), graph.add("buffersink")
        entry.link_to(flag)
        flag.link_to(sink)
        graph.configure()
        for number in range(frames):
            picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
            first, second = (0, 1) if top_first else (1, 0)
            picture[first : SIZE[1] : 2] = _field(2 * number)[::2]
            picture[second : SIZE[1] : 2] = _field(2 * number + 1)[::2]
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            entry.push(frame)
            output.mux(stream.encode(graph.vpull()))
        output.mux(stream.encode(None))
    return file.getvalue()


def _combs(luma: NDArray[np.uint8]) -> float:
    """Return how far rows stand out from those above and below, at most."""
    rows = luma.astype(int)
    return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean(1).max()) / 2


@pytest.mark.parametrize(
    ("codec", "top_first"), [("libx264", True), ("libx264", False), ("mpeg2video", True)]
)
def test_combs_go_and_each_picture_shows_its_first_field(codec: str, top_first: bool) -> None:
    data = interlaced(20, codec, top_first)
    info = probe(data)
    assert info.interlaced
    assert "interlaced" in info.warnings[0]
    combed = list(read(data, replace(info, interlaced=False)))
    whole = list(read(data, info))
    assert len(combed) == len(whole) == 20
    for number in range(2, 18):
        assert _combs(combed[number].y) > 3 > 1 > _combs(whole[number].y)
        assert np.abs(whole[number].y.astype(int) - _field(2 * number)).mean() < 2


def test_a_stretch_shows_what_it_does_in_the_whole() -> None:
    data = interlaced(60)
    index, info = scan(data), probe(data)
    whole = [picture.y.copy() for picture in read(data, info)]
    for first, count in ((0, 4), (11, 3), (12, 5), (24, 1), (36, 12), (57, 3)):
        part = piece(data, index, info, first, count)
        assert part is not None
        for source in (data, part, cut(data, index, info, first, count)):
            for picture, expected in zip(read(source, info, first, count), whole[first:], strict=False):
                assert np.array_equal(picture.y, expected)


def test_fields_that_only_the_container_declares_are_not_cut_away() -> None:
    data = interlaced(20)
    index, info = scan(data), probe(data)
    assert piece(data, index, info, 3, 2) is not None
    assert piece(data, index, replace(info, codec="rawvideo"), 3, 2) is None


def test_a_progressive_video_is_not_touched(clip: Clip) -> None:
    data = clip(12, container="matroska")
    info = probe(data)
    assert not info.interlaced
    for plain, through in zip(read(data, info), read(data, replace(info, interlaced=True)), strict=True):
        assert all(np.array_equal(getattr(plain, name), getattr(through, name)) for name in "yuv")


def test_a_size_that_changes_between_fields_is_followed(clip: Clip, number_of: NumberOf) -> None:
    data = clip(20, (128, 96), container="h264") + clip(20, (192, 144), container="h264")
    numbers = [number_of(picture.y) for picture in read(data, replace(probe(data), interlaced=True))]
    assert numbers == [*range(20), *range(20)]
