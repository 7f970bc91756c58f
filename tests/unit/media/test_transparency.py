"""What shows through transparent parts."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.files.picture import Picture
from lipserve.media.cut import cut
from lipserve.media.decode import read
from lipserve.media.index import scan
from lipserve.media.probe import probe
from lipserve.media.transparency import matte, over

HIDDEN, SHOWN = (255, 0, 255), (200, 80, 40)  # R'G'B'


def _image(codec: str, pix_fmt: str, alpha: NDArray[np.uint8] | None = None) -> bytes:
    """Return an image 64 x 32 whose left half is SHOWN, and whose right half, HIDDEN, is transparent."""
    image = np.zeros((32, 64, 4), np.uint8)
    image[:, :32, :3], image[:, 32:, :3] = SHOWN, HIDDEN
    image[:, :32, 3] = 255
    if alpha is not None:
        image[..., 3] = alpha
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe" if codec == "png" else "matroska") as output:
        options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 32, pix_fmt
        frame = av.VideoFrame.from_ndarray(image, format="rgba").reformat(format=pix_fmt)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _first(data: bytes, colour: str = "white") -> Picture:
    return next(read(data, replace(probe(data), matte=colour)))


@pytest.mark.parametrize("pix_fmt", ["rgba", "rgba64be"])
@pytest.mark.parametrize(("colour", "luma"), [("white", 235), ("black", 16), ("#00ff00", 173)])
def test_the_matte_shows_where_a_picture_is_transparent(pix_fmt: str, colour: str, luma: int) -> None:
    data = _image("png", pix_fmt)
    picture = _first(data, colour)
    assert (np.abs(picture.y[:, 36:].astype(int) - luma) <= 1).all()
    assert picture.y[16, 8] == pytest.approx(
        16 + 219 * (0.2126 * 200 + 0.7152 * 80 + 0.0722 * 40) / 255, abs=1
    )
    if colour != "#00ff00":
        assert (np.abs(picture.u[:, 18:].astype(int) - 128) <= 1).all()
    assert "transparent" in probe(data).warnings[0]


def test_a_grey_picture_of_full_range_keeps_its_greys() -> None:
    data = _image("png", "ya8")
    white, black = _first(data, "white"), _first(data, "black")
    assert white.colour.full_range
    assert (white.y[:, 36:].min(), black.y[:, 36:].max()) == (255, 0)
    assert np.array_equal(white.y[:, :28], black.y[:, :28])


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuva444p10le", "bgra"])
def test_a_transparent_video_is_shown_on_its_matte(pix_fmt: str) -> None:
    data = _image("ffv1", pix_fmt)
    assert (np.abs(_first(data, "black").y[:, 36:].astype(int) - 16) <= 1).all()
    assert (np.abs(_first(data, "white").y[:, 36:].astype(int) - 235) <= 1).all()


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_so_it_is_in_webm_whose_alpha_is_a_second_picture(codec: str) -> None:
    data = _image(codec, "yuva420p")
    index, info = scan(data), probe(data)
    assert "transparent" in info.warnings[0]
    assert not index.cuttable
    for source in (data, cut(data, index, info, 0, 1)):
        for colour, luma in (("white", 235), ("black", 16)):
            picture = next(read(source, replace(info, matte=colour)))
            assert (np.abs(picture.y[:, 40:].astype(int) - luma) <= 3).all()


def test_an_opaque_picture_with_an_alpha_channel_is_a_plain_one() -> None:
    alpha = np.full((32, 64), 255, np.uint8)
    data = _image("png", "rgba", alpha)
    assert probe(data).warnings == ()
    assert np.array_equal(_first(data, "black").y, _first(data, "white").y)


def test_half_of_a_half_transparent_picture_is_background() -> None:
    mixed = over(np.full((1, 1, 3), 100, np.uint8), np.full((1, 1), 51, np.uint8), matte("#ff0000"))
    assert mixed.tolist() == [[[20 + 204, 20, 20]]]


def test_a_gif_that_draws_nothing_on_a_part_of_it_is_transparent_there() -> None:
    cells = np.zeros((32, 64), np.uint8)
    cells[:, 32:] = 1
    palette = np.zeros((256, 4), np.uint8)  # alpha, R, G, B
    palette[0], palette[1] = (255, 200, 80, 40), (0, 255, 0, 255)
    file = io.BytesIO()
    with av.open(file, "w", format="gif") as output:
        stream = output.add_stream("gif", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "pal8"
        frame = av.VideoFrame.from_ndarray((cells, palette), format="pal8")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = file.getvalue()
    assert (np.abs(_first(data, "black").y[:, 36:].astype(int) - 16) <= 1).all()
    assert (np.abs(_first(data, "white").y[:, 36:].astype(int) - 235) <= 1).all()
