"""Parameter sets of H.264: read, merged, and what they refuse."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from lipserve.errors import InternalError
from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from lipserve.media.h264 import ParameterSets, begins_anew


def written(number: int, frames: int = 3, size: tuple[int, int] = (64, 48)) -> bytes:
    width, height = size
    file = io.BytesIO()
    planes = [np.full(shape, 90, np.uint8) for shape in ((height, width), (height // 2, width // 2))]
    with VideoWriter(file, width, height, Fraction(25), Colour(), parameter_set=number) as writer:
        for _ in range(frames):
            writer.write(Picture(planes[0], planes[1], planes[1], Colour()))
    return file.getvalue()


def sets(number: int, size: tuple[int, int] = (64, 48)) -> ParameterSets:
    with av.open(io.BytesIO(written(number, size=size))) as container:
        found = ParameterSets.read(container.streams.video[0].codec_context.extradata)
    assert found is not None
    return found


@pytest.mark.parametrize("number", [0, 1, 2, 7, 31])
def test_the_number_of_the_sets_is_the_one_that_was_asked_for(number: int) -> None:
    assert sets(number).numbers == {number}


def test_sets_are_written_as_they_were_read() -> None:
    one = sets(3)
    assert ParameterSets.read(one.to_bytes()) == one
    both = one.merged(sets(4))
    assert ParameterSets.read(both.to_bytes()) == both
    assert (len(both.sequence), len(both.picture), both.numbers) == (2, 2, {3, 4})
    assert both.merged(one) == both


def test_two_sets_of_one_number_are_refused() -> None:
    with pytest.raises(InternalError, match="one number differ"):
        sets(0).merged(sets(0, size=(96, 64)))


@pytest.mark.parametrize(
    "extradata",
    [
        None,
        b"",
        b"\x00\x00\x00\x01\x67\x42",
        b"\x01\x64\x00\x0a\xfe\xe1",
        b"\x01\x64\x00\x0a\xff\xe1\xff\xff",
    ],
)
def test_other_forms_are_none(extradata: bytes | None) -> None:
    assert ParameterSets.read(extradata) is None


def test_only_an_idr_picture_begins_anew() -> None:
    with av.open(io.BytesIO(written(0, frames=5))) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert [begins_anew(packet) for packet in packets] == [True] + [False] * 4
    assert not begins_anew(b"")
