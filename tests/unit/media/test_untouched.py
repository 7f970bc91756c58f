"""Pictures in which several people were driven apart, put together."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest

from lipserve.errors import CueError
from lipserve.files.picture import Colour, Picture
from lipserve.media import decode, probe, untouched
from lipserve.media.encode import VideoWriter

LOSSLESS = {"crf": 0, "preset": "ultrafast", "parameter_set": 0}


def drawn(*spots: tuple[int, int]) -> bytes:
    """Return three grey pictures with a bright square at each spot."""
    file = io.BytesIO()
    luma = np.full((64, 96), 100, np.uint8)
    for x, y in spots:
        luma[y : y + 16, x : x + 16] = 200
    half = np.full((32, 48), 128, np.uint8)
    with VideoWriter(file, 96, 64, Fraction(25), Colour(), crf=0, preset="ultrafast") as writer:
        for _ in range(3):
            writer.write(Picture(luma, half, half, Colour()))
    return file.getvalue()


def together(source: bytes, *layers: bytes) -> np.ndarray:  # type: ignore[type-arg]
    info = probe.probe(source)
    named = dict(enumerate(layers, 3))
    out = untouched.encoded(source, info, np.arange(3), named, **LOSSLESS)  # type: ignore[arg-type]
    return np.stack([picture.y for picture in decode.read(out, probe.probe(out))])


def test_what_each_layer_changed_is_there() -> None:
    luma = together(drawn(), drawn((8, 8)), drawn((60, 30)))
    assert luma.shape == (3, 64, 96)
    assert set(luma[:, 8:24, 8:24].ravel()) == {200}
    assert set(luma[:, 30:46, 60:76].ravel()) == {200}
    assert int((luma == 200).sum()) == 3 * 2 * 16 * 16


def test_two_layers_that_change_the_same_face_are_refused() -> None:
    with pytest.raises(CueError, match="Cues 3 and 4 drive the same face"):
        together(drawn(), drawn((8, 8)), drawn((12, 8)))


def test_a_blank_segment_is_one_picture_of_that_size() -> None:
    info = probe.probe(drawn())
    blank = untouched.blank(info, crf=18, preset="veryfast", parameter_set=2)
    assert (probe.probe(blank).width, probe.probe(blank).height, probe.probe(blank).frames) == (96, 64, 1)
