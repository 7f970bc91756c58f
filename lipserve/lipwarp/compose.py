"""Composition of the mouth from the source's own pixels: one interpolation, at source resolution.

The renderer works on small crops, and what it gives is only *where* pixels come from and *how much* of each
source there is. Here that is carried out on the planes of the decoded picture and of remembered mouths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms, subsampled, to_chroma
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.files.picture import Picture, Plane
from lipserve.lipwarp.geometry import soft_mask
from lipserve.media.yuv import from_rgb

_MOVES = 2.0  # times the soft mask, at most one: how much of its flow the current picture is moved by ...
_SHOWS = 4.0  # ... and how much of what is made is shown, over a border where next to nothing moves
_VISIBLE = 3  # of 255: shares below it are left out
_NOTHING = 1 / 512  # of a remembered mouth: half a level at most
_DENSE = 2.0  # samples of a plane beside each other in one pixel of a crop
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


_INTERPOLATIONS = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LINEAR)  # of luma, and of the two of chroma

Channels = Sequence[NDArray[np.float32]]
"""Each float32 [h, w]. Of places in a source: x and y, in its samples."""

Matrix = NDArray[np.float64]
Corners = NDArray[np.float64]
"""[4, 3], homogeneous pixels of a mouth crop."""


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
    """The generate stage's outputs for one face in one frame.

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

    @classmethod
    def of(cls, row: Mapping[str, Any], remembered: Sequence[Patch]) -> Self:
        """Return what one row of the contract's tensors says; MEMORIES count in the person's patches."""
        first, second = (remembered[index] for index in row["MEMORIES"])
        flow = row["FLOW"].astype(np.float32)
        return cls(flow, row["BLEND"], row["PAINT"], (first, second), row["SHARES"], row["OFFSETS"])

    @cached_property
    def reach(self) -> Corners | None:
        """The rectangle around all pixels under the mask that are not of the current picture, if any."""
        largest = np.maximum(self.blend[..., 0], self.blend[..., 1])
        return _corners(largest * _mask(_SHOWS) >= _VISIBLE)

    @cached_property
    def painted(self) -> bool:
        """Whether the mask shows paint."""
        return bool((self.blend[..., 1] * _mask(_SHOWS) >= _VISIBLE).any())


@dataclass(frozen=True)
class _Layer:
    """A plane of a picture, that of the two remembered mouths, of paint [P, P], and the levels these lack.

    Attributes:
        interpolation: OpenCV's: cubic for luma, whose sharpness is seen; linear for chroma, a third of it.
    """

    plane: Plane
    patches: tuple[Plane, Plane]
    paint: NDArray[np.float32]
    offset: float
    interpolation: int


def move(picture: Picture, motion: Motion, transform: Transforms, weight: float = 1.0) -> None:
    """Move the mouth of a picture, in place. Samples where the mask is zero keep their value to the bit.

    Args:
        picture: its planes are written to: a copy of what a decoder gave.
        transform: float32 [2, 3], the one that cut the mouth crop.
        weight: 0..1, of the whole mask.
    """
    first, second = motion.patches
    paint = from_rgb(motion.paint.astype(np.float32), picture.colour)
    ends = from_rgb(np.stack([np.zeros(3), motion.offset])[None].astype(np.float32), picture.colour)
    offsets = [float(end[0, 1] - end[0, 0]) for end in ends]
    planes, patches = (picture.y, picture.u, picture.v), zip(first.planes, second.planes, strict=True)
    layers = list(map(_Layer, planes, patches, paint, offsets, _INTERPOLATIONS))
    backs = [_inverse(step) for step in (transform, first.transform, second.transform)]
    for own, step, there in (
        (layers[:1], transform, backs),
        (layers[1:], subsampled(transform), [to_chroma(back) for back in backs]),
    ):
        grid = _Grid.of(step.astype(np.float64), there[0], own[0].plane.shape)
        if not grid.empty:
            _move(own, grid, motion, there, weight)


@dataclass(frozen=True)
class _Grid:
    """Samples of a plane, a rectangle of them, and where they lie in the mouth crop.

    Attributes:
        step, back: float64 [2, 3], sample of the plane -> pixel of the mouth crop, and the way back.
        low, high: the lowest sample (x, y), and the highest, excluded.
    """

    step: Matrix
    back: Matrix
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, step: Matrix, back: Matrix, shape: tuple[int, ...]) -> Self:
        """Return those samples of a plane that the mask covers."""
        whole = cls(step, back, np.zeros(2, np.int64), np.array(shape[1::-1]))
        return whole.within(_mask_corners())

    @property
    def empty(self) -> bool:
        return bool((self.low >= self.high).any())

    def within(self, corners: Corners) -> Self:
        """Return the samples that corners enclose."""
        reach = corners @ self.back.T
        low = np.clip(np.floor(reach.min(0)), self.low, self.high).astype(np.int64)
        high = np.clip(np.ceil(reach.max(0)) + 1, self.low, self.high).astype(np.int64)
        return type(self)(self.step, self.back, low, high)

    def part(self, plane: Plane, origin: Sequence[int] | NDArray[np.int64] = (0, 0)) -> Plane:
        """Return these samples of a plane, or of a part of it that begins at `origin` (x, y): a view."""
        (left, top), (right, bottom) = self.low - origin, self.high - origin
        return plane[top:bottom, left:right]

    def show(self, crop: NDArray[Any]) -> Channels:
        """Return the channels [h, w] of a crop, float32 [S, S, C] of any density, at these samples."""
        scale = len(crop) / MOUTH_SIZE
        matrix = self.step.copy()
        matrix[:, 2] += matrix[:, :2] @ self.low
        matrix *= scale
        matrix[:, 2] += 0.5 * scale - 0.5
        width, height = (self.high - self.low).tolist()
        if abs(np.linalg.det(matrix[:, :2])) > _DENSE**-2:
            return cast(Channels, cv2.split(_warped(crop, matrix, (width, height))))
        # Between samples that lie so near to each other a crop is a plane: a half of them, and their means.
        matrix[:, 2] += matrix[:, :2].sum(1) / 2
        matrix[:, :2] *= 2
        half = ((width + 1) // 2, (height + 1) // 2)
        shown = _warped(crop, matrix, half)
        shown = cv2.resize(shown, (2 * half[0], 2 * half[1]), interpolation=cv2.INTER_LINEAR)
        return cast(Channels, cv2.split(shown[:height, :width]))

    def places(self, flows: NDArray[np.float32], backs: Sequence[Matrix]) -> list[Channels]:
        """Return where in each source these samples are taken from.

        Args:
            flows: float32 [K, G, G, 2], pixels of the sources' mouth crops.
            backs: of each source, pixel of its mouth crop -> its sample.
        """
        shifts = [cv2.transform(flow, back[:, :2]) for flow, back in zip(flows, backs, strict=True)]
        channels = self.show(cv2.merge(shifts))
        found = [channels[first : first + 2] for first in range(0, len(channels), 2)]
        columns, rows = (np.arange(*ends) for ends in zip(self.low, self.high, strict=True))
        for places, back in zip(found, backs, strict=True):
            onto = back[:, :2] @ self.step
            across = (onto[:, :1] * columns + onto[:, 2:] + back[:, 2:]).astype(np.float32)
            down = (onto[:, 1:2] * rows).astype(np.float32)[..., None]
            for axis in (0, 1):
                places[axis][:] += across[axis]
                places[axis][:] += down[axis]
        return found


def _move(
    layers: Sequence[_Layer], grid: _Grid, motion: Motion, backs: Sequence[Matrix], weight: float
) -> None:
    """Move planes that share a grid.

    Args:
        backs: of the planes and of their two patches, pixel of its own mouth crop -> sample.
    """
    (current,) = grid.places(motion.flow[:1] * _mask(_MOVES, FLOW_SIZE)[..., None], backs[:1])
    moved = [_taken(layer.plane, current, layer.interpolation) for layer in layers]
    inner = None if motion.reach is None else grid.within(motion.reach)
    if inner is not None and not inner.empty:
        _mix([inner.part(samples, grid.low) for samples in moved], layers, inner, motion, backs[1:])
    (mask,) = grid.show(_mask(_SHOWS) * np.float32(weight))
    for layer, samples in zip(layers, moved, strict=True):
        target = grid.part(layer.plane)
        target[:] = cv2.blendLinear(samples, target, mask, 1 - mask)


def _mix(
    moved: Sequence[Plane], layers: Sequence[_Layer], grid: _Grid, motion: Motion, backs: Sequence[Matrix]
) -> None:
    """Lay the remembered mouths and the paint over the current picture, in place."""
    remembered, painted = grid.show(motion.blend * np.float32(1 / 255))
    places = grid.places(motion.flow[1:], backs)
    paints = grid.show(cv2.merge([layer.paint for layer in layers])) if motion.painted else ()
    for number, (samples, layer) in enumerate(zip(moved, layers, strict=True)):
        memory = np.full(samples.shape, layer.offset, np.float32)
        for patch, there, share in zip(layer.patches, places, motion.shares, strict=True):
            if share > _NOTHING:
                memory += share * _taken(patch, there, layer.interpolation)
        mixed = samples + remembered * (memory - samples)
        if paints:
            mixed = mixed + painted * (paints[number] - mixed)
        samples[:] = np.clip(np.rint(mixed), 0, 255)


def _warped(crop: NDArray[Any], matrix: Matrix, extent: tuple[int, int]) -> NDArray[Any]:
    shown = cv2.warpAffine(crop, matrix, extent, flags=_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cast(NDArray[Any], shown)


def _taken(source: Plane, places: Channels, interpolation: int) -> Plane:
    """Return what a source shows at the places, uint8 [h, w]."""
    xs, ys = places
    return np.asarray(cv2.remap(source, xs, ys, interpolation, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _inverse(step: Transforms) -> Matrix:
    return np.asarray(cv2.invertAffineTransform(step.astype(np.float64)), np.float64)


@cache
def _mask(times: float, size: int = MOUTH_SIZE) -> NDArray[np.float32]:
    """Return so many times the soft mask [S, S], at most one.

    Were it the pixels alone that fade, a chin that moves would be seen twice at the mask's border.
    """
    return np.minimum(np.float32(times) * soft_mask(size), np.float32(1))


@cache
def _mask_corners() -> Corners:
    found = _corners(soft_mask() > 0)
    assert found is not None
    return found


def _corners(marked: NDArray[np.bool_]) -> Corners | None:
    """Return what encloses the marked pixels [S, S] and the one around them that a warp adds, if any."""
    left, top, width, height = cv2.boundingRect(marked.view(np.uint8))
    xs, ys = (left - 1, left + width), (top - 1, top + height)
    return np.array([[x, y, 1.0] for x in xs for y in ys]) if width else None
