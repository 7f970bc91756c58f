"""Composition of the mouth from the source's own pixels: one interpolation, at source resolution.

The renderer works on small crops, and what it gives is only *where* pixels come from and *how much* of each
source there is. Here that is carried out on the planes of the decoded picture and of remembered mouths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.files.picture import Picture, Plane
from lipserve.lipwarp import detail
from lipserve.lipwarp.flow import restored
from lipserve.lipwarp.geometry import soft_mask
from lipserve.lipwarp.grid import Channels, Corners, Grid, Matrix, corners, halved, halved_places
from lipserve.media.yuv import change, from_rgb

_MOVES = 2.0  # times the soft mask, at most one: how much of its flow the current picture is moved by ...
_SHOWS = 4.0  # ... and how much of what is made is shown, over a border where next to nothing moves
_SMOOTH = 1.0  # pixels of the crop from one node of that mask to the next
_VISIBLE = 3  # of 255: shares below it are left out

_INTERPOLATIONS = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LINEAR)  # of luma, and of the two of chroma

_T = TypeVar("_T")


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
        return cls(
            restored(row["FLOW"]), row["BLEND"], row["PAINT"], (first, second), row["SHARES"], row["OFFSETS"]
        )

    @cached_property
    def reach(self) -> Corners | None:
        """The rectangle around all pixels under the mask that are not of the current picture, if any."""
        return corners(self._seen[..., 0] | self._seen[..., 1])

    @cached_property
    def painted(self) -> bool:
        """Whether the mask shows paint."""
        return bool(self._seen[..., 1].any())

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        """Which shares of `blend` are seen under the mask [S, S, 2]."""
        return np.asarray(self.blend > _hidden())


@dataclass(frozen=True)
class _Layer:
    """A plane of a picture, of two remembered mouths and of paint [P, P], and the levels that those lack.

    Attributes:
        interpolation: OpenCV's: cubic for luma, whose sharpness is seen; linear for chroma, a third of it.
    """

    plane: Plane
    patches: tuple[Plane, Plane]
    paint: Plane
    offset: float
    interpolation: int


def move(picture: Picture, motion: Motion, transform: Transforms, weight: float = 1.0) -> None:
    """Move the mouth of a picture, in place. Samples where the mask is zero keep their value to the bit.

    A sample of chroma is where the two samples of luma are that it lies between, and of their mask.

    Args:
        picture: its planes are written to: a copy of what a decoder gave.
        transform: float32 [2, 3], the one that cut the mouth crop.
        weight: 0..1, of the whole mask.
    """
    first, second = motion.patches
    backs = [_inverse(step) for step in (transform, first.transform, second.transform)]
    grid = Grid.of(transform.astype(np.float64), backs[0], picture.y.shape)
    if grid.empty:
        return
    planes, patches = (picture.y, picture.u, picture.v), zip(first.planes, second.planes, strict=True)
    offsets = change(motion.offset, picture.colour)
    paint = from_rgb(motion.paint, picture.colour) if motion.painted else (motion.paint[..., 0],) * 3
    layers = list(map(_Layer, planes, patches, paint, offsets, _INTERPOLATIONS))
    (current,) = grid.places([motion.flow[0] * _mask(_MOVES, FLOW_SIZE)[..., None]], backs[:1])
    places = _of_all(current, halved_places)
    moved = list(map(_taken, planes, places, _INTERPOLATIONS))
    inner = None if motion.reach is None else grid.within(motion.reach)
    if inner is not None and not inner.empty:
        parts = [part.of(samples) for part, samples in zip(inner.parts(grid.low), moved, strict=True)]
        _mix(parts, layers, inner, motion, backs[1:])
    mask = grid.show_mask(_mask(_SHOWS) * np.float32(weight), _SMOOTH)
    for plane, samples, share, part in zip(planes, moved, _of_all(mask, halved), grid.parts(), strict=True):
        target = part.of(plane)
        height, width = target.shape  # of luma a row less than the grid has, where its rows are odd
        shown, new = share[:height, :width], samples[:height, :width]
        if plane is picture.y:
            new = detail.returned(new, target)
        target[:] = cv2.blendLinear(new, target, shown, 1 - shown)


def _mix(
    moved: Sequence[Plane], layers: Sequence[_Layer], grid: Grid, motion: Motion, backs: Sequence[Matrix]
) -> None:
    """Lay the remembered mouths and the paint over the current picture, in place.

    Args:
        moved: the current picture at the grid's samples.
        backs: of the two mouths, pixel of its own mouth crop -> sample of luma.
    """
    shown = motion.blend if motion.painted else motion.blend[..., 0]
    shares = [_of_all(share, halved) for share in grid.show(shown * np.float32(1 / 255))]
    paints = [grid.show(layer.paint.astype(np.float32))[0] for layer in layers] if motion.painted else []
    used = [number for number, share in enumerate(motion.shares) if share > 0] or [0]
    given = grid.places([motion.flow[1 + number] for number in used], [backs[number] for number in used])
    places = [_of_all(there, halved_places) for there in given]
    weights = [float(motion.shares[number]) for number in used]
    for plane, (samples, layer) in enumerate(zip(moved, layers, strict=True)):
        taken = [
            _taken(layer.patches[number], there[plane], layer.interpolation)
            for number, there in zip(used, places, strict=True)
        ]
        rest = weights[1] if used[1:] else 0.0
        over = [cv2.addWeighted(taken[0], weights[0], taken[-1], rest, layer.offset)]
        if paints:
            paint = halved(paints[plane]) if plane else paints[plane]
            over.append(np.rint(paint).astype(np.uint8))
        for what, share in zip(over, shares, strict=True):
            samples[:] = cv2.blendLinear(what, samples, share[plane], 1 - share[plane])


def _of_all(luma: _T, halved: Callable[[_T], _T]) -> tuple[_T, _T, _T]:
    """Return what belongs to each of the three planes."""
    chroma = halved(luma)
    return luma, chroma, chroma


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
def _hidden() -> NDArray[np.uint8]:
    """Return the largest share of 255 that the mask hides [S, S, 2]."""
    least = np.ceil(_VISIBLE / np.maximum(_mask(_SHOWS), 1e-6))
    return np.repeat(np.minimum(least - 1, 255).astype(np.uint8)[..., None], 2, -1)
