"""A six-second clip of gentle motion, made from a portrait in the public domain.

The portrait is `skimage.data.astronaut`: Eileen Collins, photographed by NASA.
"""

from __future__ import annotations

import io
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from lipserve.media.yuv import from_rgb

SIZE = (640, 640)
FPS = Fraction(25)
SECONDS = 6.0
_FACE = (225.0, 125.0)  # in the portrait
_ZOOM = 2.2


def frames(
    seconds: float = SECONDS, size: tuple[int, int] = SIZE, zoom: float = _ZOOM
) -> list[NDArray[np.uint8]]:
    """Return the clip's frames uint8 [H, W, 3] RGB: the head sways, nods and comes a little closer."""
    from skimage.data import astronaut

    portrait = astronaut()
    count = round(seconds * float(FPS))
    return [_frame(portrait, i / float(FPS), size, zoom) for i in range(count)]


def clip(seconds: float = SECONDS, size: tuple[int, int] = SIZE, zoom: float = _ZOOM, crf: int = 14) -> bytes:
    """Return the clip as an MP4 without audio."""
    file = io.BytesIO()
    with VideoWriter(file, *size, FPS, Colour(), Fraction(1), crf=crf) as writer:
        for frame in frames(seconds, size, zoom):
            writer.write(picture(frame))
    return file.getvalue()


def picture(frame: NDArray[np.uint8]) -> Picture:
    """Return an RGB frame [H, W, 3] as 4:2:0, BT.709."""
    y, u, v = from_rgb(frame, Colour())
    half = ((frame.shape[1] + 1) // 2, (frame.shape[0] + 1) // 2)
    small = [np.asarray(cv2.resize(p, half, interpolation=cv2.INTER_AREA), np.uint8) for p in (u, v)]
    return Picture(y, small[0], small[1], Colour())


def _frame(portrait: NDArray[np.uint8], time: float, size: tuple[int, int], zoom: float) -> NDArray[np.uint8]:
    gain = zoom * size[1] / SIZE[1] * (1 + 0.02 * np.sin(2 * np.pi * time / 6))
    turn = cv2.getRotationMatrix2D(_FACE, 1.5 * np.sin(2 * np.pi * time / 4), gain)
    turn[0, 2] += size[0] / 2 - _FACE[0] + 6 * np.sin(2 * np.pi * time / 3)
    turn[1, 2] += 0.45 * size[1] - _FACE[1] + 4 * np.sin(2 * np.pi * time / 2.5)
    warped = cv2.warpAffine(portrait, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.uint8)
