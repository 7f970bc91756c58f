"""Smart rendering: what can be copied, and that copies and encoded segments decode as one track."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from lipserve.media import cut, decode, index, probe, untouched
from lipserve.media.h264 import ParameterSets
from lipserve.media.join import Joiner, Mixed
from lipserve.media.opening import opened
from lipserve.media.smart import Copyable, copyable
from lipserve.segments import Span


def film(kind: str = "mp4", frames: int = 75, codec: str = "libx264", **options: str) -> bytes:
    """Return moving pictures of 96x64, 25 a second, a key frame every 25."""
    file = io.BytesIO()
    settings = {"g": "25", "crf": "20", "x264-params": "open-gop=0:scenecut=0", **options}
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(
            codec, rate=25, width=96, height=64, options=settings if "264" in codec else {"g": "25"}
        )
        for number in range(frames):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[8:40, number : number + 20] = 200 - number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def found(video: bytes) -> Copyable:
    with opened(video) as source:
        return copyable(video, index.scan(source), probe.probe(source))


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_closed_groups_can_be_copied(preset: str) -> None:
    copy = found(film(preset=preset))
    assert copy.groups == (Span(0, 25), Span(25, 25), Span(50, 25))
    assert copy.delay == (0 if preset == "ultrafast" else 2)


@pytest.mark.parametrize(
    "video",
    [
        film(**{"x264-params": "open-gop=1:scenecut=0:bframes=2"}),
        film("mpegts"),
        film(codec="mpeg4"),
    ],
    ids=["open groups", "MPEG-TS", "MPEG-4"],
)
def test_what_cannot_stand_in_the_result_is_not_copied(video: bytes) -> None:
    copy = found(video)
    assert len(copy.groups) < 3


def test_a_stretch_is_copied_as_far_as_whole_groups_lie_in_it() -> None:
    copy = Copyable((Span(0, 25), Span(25, 25), Span(50, 25)))
    assert copy.within(Span(10, 60), 1000) == [
        (Span(10, 15), False),
        (Span(25, 25), True),
        (Span(50, 20), False),
    ]
    assert copy.within(Span(0, 75), 50) == [(Span(0, 50), True), (Span(50, 25), True)]
    assert Copyable().within(Span(3, 25), 10) == [
        (Span(3, 10), False),
        (Span(13, 10), False),
        (Span(23, 5), False),
    ]


def settings(parameter_set: int) -> dict[str, Any]:
    return {"crf": 0, "preset": "ultrafast", "parameter_set": parameter_set}


def test_copied_and_encoded_pictures_are_one_track_bit_for_bit() -> None:
    video = film(preset="medium")
    info, copy = probe.probe(video), found(video)
    assert copy.sets is not None
    middle = untouched.encoded(video, info, np.arange(25, 50), **settings(1))
    with av.open(io.BytesIO(middle)) as container:
        encoded = ParameterSets.read(container.streams.video[0].codec_context.extradata)
    assert encoded is not None
    output = io.BytesIO()
    mixed = Mixed(middle, copy.sets.merged(encoded), copy.delay)
    with opened(video) as source, Joiner(output, info.fps, mixed=mixed) as joiner:
        packets = index.scan(source)
        for first in (0, 25, 50):
            if first == 25:
                joiner.add(middle)
                continue
            piece = cut.piece(video, packets, info, first, 25)
            assert piece is not None
            joiner.add(piece, lambda at, first=first: round((at - info.start) * info.fps) - first)
    result = output.getvalue()
    assert probe.probe(result).frames == 75
    for theirs, ours in zip(decode.read(video, info), decode.read(result, probe.probe(result)), strict=True):
        assert np.array_equal(theirs.y, ours.y)
        assert np.array_equal(theirs.u, ours.u)


def test_changes_of_two_layers_stand_side_by_side() -> None:
    video = film(frames=5)
    info = probe.probe(video)
    assert info.fps == Fraction(25)
    shown = np.arange(5)
    plain = untouched.encoded(video, info, shown, **settings(0))
    out = untouched.encoded(video, info, shown, {1: plain, 2: plain}, **settings(0))
    for theirs, ours in zip(decode.read(plain, info), decode.read(out, info), strict=True):
        assert np.array_equal(theirs.y, ours.y)
