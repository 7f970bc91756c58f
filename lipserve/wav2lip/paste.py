"""Blend a generated crop into a picture's planes, through a mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Image, Transforms, invert, subsampled
from lipserve.files.picture import Picture
from lipserve.media.yuv import from_rgb

Mask = NDArray[np.float32]
"""float32 [S, S], 0..1, of a crop: how much of the generated face is seen."""


def paste(picture: Picture, face: Image, transform: Transforms, mask: Mask, weight: float = 1.0) -> None:
    """Blend a generated face into a picture, in place.

    Samples where the mask is zero keep their value to the bit.

    Args:
        picture: its planes are written to: a copy of what a decoder gave.
        face: uint8 [S, S, 3] RGB.
        transform: float32 [2, 3], the one that cut the crop.
        mask: float32 [S, S], 0..1.
        weight: 0..1, of the whole mask.
    """
    y, u, v = from_rgb(face, picture.colour)
    luma, chroma = _Patch(transform, picture.y, mask), _Patch(subsampled(transform), picture.u, mask)
    luma.blend(picture.y, y, weight)
    chroma.blend(picture.u, u, weight)
    chroma.blend(picture.v, v, weight)


def region(transform: Transforms, mask: Mask, width: int, height: int) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the pixels that a paste may touch (x1, y1 excluded), clipped to the plane."""
    reach = _corners(mask) @ invert(transform[None])[0].T
    x0, y0 = np.floor(reach.min(0)).astype(int)
    x1, y1 = np.ceil(reach.max(0)).astype(int) + 1
    return max(0, x0), max(0, y0), min(width, x1), min(height, y1)


def _corners(mask: Mask) -> NDArray[np.float64]:
    """Return the corners [4, 3], homogeneous, of what a mask covers, with the pixel that a warp adds."""
    (left, right), (top, bottom) = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (0, 1))
    return np.array([[x, y, 1.0] for x in (left - 1, right + 1) for y in (top - 1, bottom + 1)])


class _Patch:
    """The part of a plane that a paste touches, and the mask there."""

    def __init__(self, transform: Transforms, plane: Image, mask: Mask) -> None:
        height, width = plane.shape
        x0, y0, x1, y1 = region(transform, mask, width, height)
        self._rows, self._columns = slice(y0, y1), slice(x0, x1)
        self._extent = (x1 - x0, y1 - y0)
        self._matrix = transform.copy()
        self._matrix[:, 2] += transform[:, :2] @ np.array([x0, y0], np.float32)
        self._empty = x1 <= x0 or y1 <= y0
        if not self._empty:
            self._mask = self._warp(mask, cv2.BORDER_CONSTANT)

    def blend(self, plane: Image, face: Image, weight: float) -> None:
        """Blend one channel of the face into the plane."""
        if self._empty:
            return
        new = self._warp(face, cv2.BORDER_REPLICATE)
        alpha = self._mask if weight == 1.0 else self._mask * np.float32(weight)
        target = plane[self._rows, self._columns]
        target[:] = cv2.blendLinear(new, target, alpha, 1 - alpha)

    def _warp(self, image: NDArray[Any], border: int) -> Any:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, self._matrix, self._extent, flags=flags, borderMode=border)
