"""The wanted mouth in the source's own pixels: one interpolation, at the source's own resolution.

The renderer works on small crops, and what it gives is only *where* pixels come from and *how much* of each
source there is. Here that is carried out on the planes of the decoded picture and of remembered mouths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms, invert, subsampled
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE, PAINT_SIZE
from lipserve.lipwarp.geometry import soft_mask
from lipserve.media.picture import Picture, Plane
from lipserve.media.yuv import from_rgb

_NO_MAP = np.empty(0, np.float32)  # both coordinates are in the first map
_VISIBLE = 3  # of 255: shares below it are left out
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Patch:
    """A remembered mouth at its own resolution.

    Attributes:
        planes: uint8 [h, w] of luma, then [h/2, w/2] of the two of chroma.
        transform: float32 [2, 3], pixel of the luma patch -> pixel of its mouth crop.
    """

    planes: tuple[Plane, Plane, Plane]
    transform: Transforms


@dataclass(frozen=True)
class Motion:
    """What the generate stage says of one face in one frame.

    Attributes:
        flow: float32 [3, G, G, 2], pixels of the mouth crop: of the current picture, of two remembered
            mouths.
        blend: uint8 [S, S, 2]: the share of the remembered mouths, and that of paint over all.
        paint: uint8 [P, P, 3] RGB.
        patches: the two remembered mouths, and `shares` float32 [2] of them, which add up to one.
        offset: float32 [3], RGB, what the remembered mouths' colours lack.
    """

    flow: NDArray[np.float32]
    blend: NDArray[np.uint8]
    paint: NDArray[np.uint8]
    patches: tuple[Patch, Patch]
    shares: NDArray[np.float32]
    offset: NDArray[np.float32]


def move(picture: Picture, motion: Motion, transform: Transforms, weight: float = 1.0) -> None:
    """Move the mouth of a picture, in place. Samples where the mask is zero keep their value to the bit.

    Args:
        picture: its planes are written to: a copy of what a decoder gave.
        transform: float32 [2, 3], the one that cut the mouth crop.
        weight: 0..1, of the whole mask.
    """
    paint = from_rgb(motion.paint.astype(np.float32), picture.colour)
    ends = from_rgb(np.stack([np.zeros(3), motion.offset])[None].astype(np.float32), picture.colour)
    offsets = [float(end[0, 1] - end[0, 0]) for end in ends]
    steps = (transform, subsampled(transform))
    for number, plane in enumerate((picture.y, picture.u, picture.v)):
        own = _Place(steps[min(number, 1)], plane.shape)
        if not own.empty:
            sources = [(patch.planes[number], _patch_step(patch, number)) for patch in motion.patches]
            own.move(plane, motion, sources, paint[number], offsets[number], weight)


def _patch_step(patch: Patch, number: int) -> Transforms:
    return subsampled(patch.transform) if number else patch.transform


class _Place:
    """The part of a plane that a moved mouth may touch.

    Args:
        step: float32 [2, 3], sample of the plane -> pixel of the mouth crop.
    """

    def __init__(self, step: Transforms, shape: tuple[int, ...]) -> None:
        low, high = _reach(invert(step[None])[0], _mask_corners(), shape)
        self.empty = bool((high <= low).any())
        self._low, self._high, self._shape = low, high, shape
        self._step = step.astype(np.float64)

    def move(
        self,
        plane: Plane,
        motion: Motion,
        sources: list[tuple[Plane, Transforms]],
        paint: NDArray[np.float32],
        offset: float,
        weight: float,
    ) -> None:
        moved = self._taken(plane, self._step, motion.flow[0], self._low, self._high)
        inner = self._inner(motion.blend)
        if inner is not None:
            low, high = inner
            part = moved[
                low[1] - self._low[1] : high[1] - self._low[1], low[0] - self._low[0] : high[0] - self._low[0]
            ]
            remembered = self._remembered(motion, sources, low, high) + np.float32(offset)
            blend = self._on_plane(motion.blend, MOUTH_SIZE, low, high).astype(np.float32) * np.float32(
                1 / 255
            )
            mixed = part + blend[..., 0] * (remembered - part)
            mixed += blend[..., 1] * (self._on_plane(paint, PAINT_SIZE, low, high) - mixed)
            part[:] = np.clip(np.rint(mixed), 0, 255)
        mask = self._on_plane(soft_mask(), MOUTH_SIZE, self._low, self._high, cv2.BORDER_CONSTANT)
        alpha = mask if weight == 1.0 else mask * np.float32(weight)
        target = plane[self._low[1] : self._high[1], self._low[0] : self._high[0]]
        target[:] = cv2.blendLinear(moved, target, alpha, 1 - alpha)

    def _inner(self, blend: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return the corners, in the plane, of what more than the current picture has a say in."""
        seen = blend.max(-1) >= _VISIBLE
        if not seen.any():
            return None
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        corners = [
            [x, y, 1.0] for x in (columns[0] - 1, columns[-1] + 1) for y in (rows[0] - 1, rows[-1] + 1)
        ]
        low, high = _reach(invert(self._step[None])[0], np.array(corners), self._shape)
        low, high = np.maximum(low, self._low), np.minimum(high, self._high)
        return None if (high <= low).any() else (low, high)

    def _remembered(
        self,
        motion: Motion,
        sources: list[tuple[Plane, Transforms]],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the mixture of the remembered mouths, float32 [h, w]."""
        total = np.zeros((high[1] - low[1], high[0] - low[0]), np.float32)
        for share, flow, (plane, step) in zip(motion.shares, motion.flow[1:], sources, strict=True):
            if share > 0:
                total += share * self._taken(plane, step, flow, low, high)
        return total

    def _taken(
        self,
        source: Plane,
        step: NDArray[Any],
        flow: NDArray[np.float32],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
    ) -> Plane:
        """Return what a source shows where its flow points to, uint8 [h, w].

        Args:
            step: sample of the source -> pixel of the source's mouth crop.
        """
        back = invert(step[None])[0].astype(np.float64)  # crop pixel -> sample of the source
        shift = (flow.reshape(-1, 2) @ back[:, :2].T.astype(np.float32)).reshape(flow.shape)
        places = self._on_plane(shift, FLOW_SIZE, low, high)
        linear = back[:, :2] @ self._step[:, :2]
        constant = back[:, :2] @ self._step[:, 2] + back[:, 2]
        xs, ys = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
        for axis in (0, 1):
            places[..., axis] += (linear[axis, 0] * xs + constant[axis]).astype(np.float32)
            places[..., axis] += (linear[axis, 1] * ys).astype(np.float32)
        taken = cv2.remap(source, places, _NO_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(taken, np.uint8)

    def _on_plane(
        self,
        crop: NDArray[Any],
        size: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        border: int = cv2.BORDER_REPLICATE,
    ) -> Any:
        """Return a crop, given on a grid of `size`, at the samples of a part of the plane."""
        matrix = self._step.copy()
        matrix[:, 2] += matrix[:, :2] @ low
        matrix *= size / MOUTH_SIZE
        matrix[:, 2] += 0.5 * size / MOUTH_SIZE - 0.5
        extent = (int(high[0] - low[0]), int(high[1] - low[1]))
        return cv2.warpAffine(crop, matrix, extent, flags=_LINEAR, borderMode=border)


@cache
def _mask_corners() -> NDArray[np.float64]:
    """Return the corners [4, 3], homogeneous, of what the mask covers, with the pixel that a warp adds."""
    rows, columns = np.nonzero(soft_mask())
    xs, ys = (columns.min() - 1, columns.max() + 1), (rows.min() - 1, rows.max() + 1)
    return np.array([[x, y, 1.0] for x in xs for y in ys])


def _reach(
    back: Transforms, corners: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest sample (x, y) that crop corners [4, 3] enclose, and the highest (excluded)."""
    reach = corners @ back.T.astype(np.float64)
    limit = np.array(shape[1::-1])
    low = np.clip(np.floor(reach.min(0)), 0, limit).astype(np.int64)
    return low, np.clip(np.ceil(reach.max(0)) + 1, 0, limit).astype(np.int64)
