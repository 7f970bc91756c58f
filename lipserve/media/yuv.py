"""8-bit Y'CbCr samples to RGB and back, exactly as the picture's colour tags say."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Colour, Picture

Image = NDArray[np.uint8]
_Level = TypeVar("_Level", np.uint8, np.float32)


def to_rgb(y: Image, u: Image, v: Image, colour: Colour) -> Image:
    """Return uint8 [H, W, 3] RGB of three planes [H, W] of one size."""
    return cast(Image, cv2.transform(cv2.merge([y, u, v]), _to_rgb(colour)))


def from_rgb(image: NDArray[_Level], colour: Colour) -> tuple[NDArray[_Level], ...]:
    """Return the Y, U and V planes [H, W] of an RGB image [H, W, 3] of 0..255, at its full size.

    They are of the image's type, uint8 or float32.
    """
    return cast("tuple[NDArray[_Level], ...]", cv2.split(cv2.transform(image, _to_yuv(colour))))


def change(levels: NDArray[np.float32], colour: Colour) -> list[float]:
    """Return the samples of Y, U and V that R, G and B [3] change by such levels."""
    return cast("list[float]", (_to_yuv(colour)[:, :3] @ levels).tolist())


def resized(picture: Picture, width: int, height: int) -> Image:
    """Return the picture as uint8 [height, width, 3] RGB; its planes are resized, then converted."""
    planes = [
        cast(Image, cv2.resize(plane, (width, height), interpolation=_scaling(plane, width)))
        for plane in (picture.y, picture.u, picture.v)
    ]
    return to_rgb(planes[0], planes[1], planes[2], picture.colour)


def _scaling(plane: Image, width: int) -> int:
    return cv2.INTER_AREA if width < plane.shape[1] else cv2.INTER_LINEAR


@cache
def _to_yuv(colour: Colour) -> NDArray[np.float64]:
    """Return the affine map [3, 4] from R'G'B' 0..255 to samples (ITU-R BT.601 or BT.709)."""
    red, blue = (0.299, 0.114) if colour.matrix == "bt601" else (0.2126, 0.0722)
    luma = np.array([red, 1 - red - blue, blue])
    u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    y_gain, c_gain, foot = (1.0, 1.0, 0.0) if colour.full_range else (219 / 255, 224 / 255, 16.0)
    matrix = np.stack([luma * y_gain, u * c_gain, v * c_gain])
    return np.concatenate([matrix, np.array([[foot], [128.0], [128.0]])], 1)


@cache
def _to_rgb(colour: Colour) -> NDArray[np.float64]:
    matrix = _to_yuv(colour)
    linear = np.linalg.inv(matrix[:, :3])
    return np.concatenate([linear, -linear @ matrix[:, 3:]], 1)
