"""A picture of who is in a film: each person where they are first seen, boxes and numbers on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Picture
from lipserve.media.yuv import resized
from lipserve.passages import between

Box = tuple[float, float, float, float]

_WIDTH = 640  # pixels, of one frame
_COLUMNS = 2
_LINE = 30  # pixels, of a caption
_INK, _PAPER = (235, 235, 235), 24
_COLOURS = (
    (90, 200, 250),
    (250, 180, 80),
    (140, 230, 130),
    (240, 120, 160),
    (190, 150, 250),
    (240, 230, 110),
)


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet.

    Attributes:
        captions: lines below it. boxes: number and box of everybody in it.
    """

    picture: Picture
    captions: Sequence[str]
    boxes: Sequence[tuple[int, Box]]


def sheet(tiles: Sequence[Tile], pixel_aspect: float = 1.0) -> bytes:
    """Return the sheet as a PNG; the tiles are of one video."""
    lines = max((len(tile.captions) for tile in tiles), default=1)
    drawn = [_drawn(tile, lines, pixel_aspect) for tile in tiles]
    drawn = drawn or [np.full((_LINE, _WIDTH, 3), _PAPER, np.uint8)]
    columns = min(_COLUMNS, len(drawn))
    drawn += [np.full_like(drawn[0], _PAPER)] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[at : at + columns], axis=1) for at in range(0, len(drawn), columns)]
    return cv2.imencode(".png", np.concatenate(rows)[..., ::-1])[1].tobytes()


def caption(number: int, begin: float, end: float, speaking: float) -> str:
    """Return what stands below a person's picture."""
    return f"{number}: {between(begin, end)}, speaks {speaking:.1f} s"


def _drawn(tile: Tile, lines: int, pixel_aspect: float) -> NDArray[np.uint8]:
    height, width = tile.picture.y.shape
    high = round(_WIDTH * height / (width * pixel_aspect))
    image = np.ascontiguousarray(resized(tile.picture, _WIDTH, high))
    for number, (x0, y0, x1, y1) in tile.boxes:
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        left, right = (round(x * _WIDTH / width) for x in (x0, x1))
        top, bottom = (round(y * high / height) for y in (y0, y1))
        cv2.rectangle(image, (left, top), (right, bottom), colour, 2, cv2.LINE_AA)
        _write(image, str(number), (left, max(22, top - 8)), 0.9, (0, 0, 0), 5)
        _write(image, str(number), (left, max(22, top - 8)), 0.9, colour, 2)
    strip = np.full((_LINE * lines, _WIDTH, 3), _PAPER, np.uint8)
    for line, text in enumerate(tile.captions):
        _write(strip, text, (8, _LINE * line + 21), 0.55, _INK, 1)
    return np.concatenate([image, strip])


def _write(
    image: NDArray[np.uint8],
    text: str,
    place: tuple[int, int],
    size: float,
    colour: tuple[int, int, int],
    thickness: int,
) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)
