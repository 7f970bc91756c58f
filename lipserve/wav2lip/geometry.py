"""The tier `wav2lip`'s geometry: aligned crops, pasted back through a soft mask over the lower face."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.align import Image, Transforms, invert, subsampled
from lipserve.contracts import WAV2LIP_SIZE
from lipserve.media.picture import Picture
from lipserve.media.yuv import from_rgb


@dataclass(frozen=True)
class Similarity:
    """A `lipserve.tiers.Geometry`: square crops of `size` pixels, as `lipserve.align` cuts them."""

    size: int

    def transforms(
        self, landmarks: NDArray[np.float64], runs: NDArray[np.int64], pixel_aspect: Fraction
    ) -> Transforms:
        exact = align.estimate(landmarks.astype(np.float32))
        return align.scale(align.smooth(exact, runs), self.size, pixel_aspect)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        return align.crop(picture, transform, self.size)

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        paste(picture, face, transform, weight)


def paste(picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
    """Blend a generated face into a picture, in place, through the soft mask.

    Samples where the mask is zero keep their value to the bit.

    Args:
        picture: its planes are written to: a copy of what a decoder gave.
        face: uint8 [S, S, 3] RGB.
        transform: float32 [2, 3], the one that cut the crop.
        weight: 0..1, of the whole mask.
    """
    size = face.shape[0]
    y, u, v = from_rgb(face, picture.colour)
    luma, chroma = _Patch(transform, picture.y, size), _Patch(subsampled(transform), picture.u, size)
    luma.blend(picture.y, y, weight)
    chroma.blend(picture.u, u, weight)
    chroma.blend(picture.v, v, weight)


def region(transform: Transforms, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the pixels that a paste may touch (x1, y1 excluded), clipped to the plane."""
    reach = _mask_corners(size) @ invert(transform[None])[0].T
    x0, y0 = np.floor(reach.min(0)).astype(int)
    x1, y1 = np.ceil(reach.max(0)).astype(int) + 1
    return max(0, x0), max(0, y0), min(width, x1), min(height, y1)


@cache
def soft_mask(size: int = WAV2LIP_SIZE) -> NDArray[np.float32]:
    """Return the mask float32 [S, S], 0..1: the lower face, with a feather that ends inside the crop."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(np.abs(centre - 0.5) / 0.36, (centre - 0.70) / 0.27)
    radius = (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** (1 / 2.5)
    ramp = np.clip((1.0 - radius) / 0.30, 0, 1)
    return cast(NDArray[np.float32], (ramp * ramp * (3 - 2 * ramp)).astype(np.float32))


@cache
def _mask_corners(size: int) -> NDArray[np.float64]:
    """Return the corners [4, 3], homogeneous, of what the mask covers, with the pixel that a warp adds."""
    rows, columns = np.nonzero(soft_mask(size))
    xs, ys = (columns.min() - 1, columns.max() + 1), (rows.min() - 1, rows.max() + 1)
    return np.array([[x, y, 1.0] for x in xs for y in ys])


class _Patch:
    """The part of a plane that a paste touches, and the mask there."""

    def __init__(self, transform: Transforms, plane: Image, size: int) -> None:
        height, width = plane.shape
        x0, y0, x1, y1 = region(transform, size, width, height)
        self._rows, self._columns = slice(y0, y1), slice(x0, x1)
        self._extent = (x1 - x0, y1 - y0)
        self._matrix = transform.copy()
        self._matrix[:, 2] += transform[:, :2] @ np.array([x0, y0], np.float32)
        self._empty = x1 <= x0 or y1 <= y0
        if not self._empty:
            self._mask = self._warp(soft_mask(size), cv2.BORDER_CONSTANT)

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
