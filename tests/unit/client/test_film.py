"""What the header of a video declares is looked at before a stretch is cut out, which does not carry it."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from lipserve.errors import LimitError
from lipserve.segments import Span
from lipserve_client._film import Film


def video(declared: int) -> bytes:
    """Return 75 frames of 300 x 48 pixels in a Matroska whose header declares another width."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25, width=300, height=48)
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 300, 3), 3 * number, np.uint8), "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = file.getvalue()
    at = data.index(b"\xb0\x82\x01\x2c") + 2
    return data[:at] + declared.to_bytes(2, "big") + data[at + 2 :]


def test_a_stretch_of_a_video_that_is_declared_too_large_is_not_cut_out() -> None:
    film = Film(video(65_535))
    assert film.info.width == 300  # of the pictures: FFmpeg has forgotten the other
    for _ in range(2):
        for cut in (film.cut, film.piece):
            with pytest.raises(LimitError, match="65535x48"):
                cut(Span(40, 5))


def test_a_stretch_of_a_video_that_declares_its_width_is_cut_out() -> None:
    film = Film(video(300))
    part = film.piece(Span(40, 5))
    assert part is not None
    assert film.cut(Span(40, 5)) == part
