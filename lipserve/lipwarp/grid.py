"""Samples of a picture's planes in the mouth crop: what a crop shows there, and where pixels come from.

Crops are small and change slowly beside the samples of a large picture. So they are shown at every n-th
sample, and what lies between is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.files.picture import Plane
from lipserve.lipwarp.geometry import soft_mask

_FARTHEST = 8  # samples from one node of a crop to the next
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

Channels = Sequence[NDArray[np.float32]]
"""Each float32 [h, w]. Of places in a source: x and y, in its samples."""

Matrix = NDArray[np.float64]
Corners = NDArray[np.float64]
"""[4, 3], homogeneous pixels of a mouth crop."""


@dataclass(frozen=True)
class Part:
    """A rectangle of a plane."""

    rows: slice
    columns: slice

    def of(self, plane: Plane) -> Plane:
        """Return a view of the rectangle."""
        return plane[self.rows, self.columns]


@dataclass(frozen=True)
class Grid:
    """Samples of luma, a rectangle of them, and where they lie in the mouth crop.

    Attributes:
        step, back: float64 [2, 3], sample -> pixel of the mouth crop, and the way back.
        low, high: the lowest sample (x, y), and the highest, excluded: even, so that every sample of chroma
            belongs to samples of luma. The last ones may lie beyond the plane.
    """

    step: Matrix
    back: Matrix
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, step: Matrix, back: Matrix, shape: tuple[int, ...]) -> Self:
        """Return those samples of a plane that the mask covers."""
        size = np.array(shape[1::-1])
        return cls(step, back, np.zeros(2, np.int64), size + size % 2).within(_mask())

    @property
    def empty(self) -> bool:
        return bool((self.low >= self.high).any())

    def within(self, corners: Corners) -> Self:
        """Return the samples that corners enclose."""
        (a, b, x), (c, d, y) = self.back.tolist()
        reach = [(a * u + b * v + x, c * u + d * v + y) for u, v, _ in corners.tolist()]
        ends = zip(zip(*reach, strict=True), self.low.tolist(), self.high.tolist(), strict=True)
        low, high = zip(*(_even(along, least, most) for along, least, most in ends), strict=True)
        return type(self)(self.step, self.back, np.array(low), np.array(high))

    def parts(self, origin: Sequence[int] | NDArray[np.int64] = (0, 0)) -> list[Part]:
        """Return where these samples are in each plane, or in parts of them that begin at `origin` (x, y)."""
        (left, top), (right, bottom) = (self.low - origin).tolist(), (self.high - origin).tolist()
        chroma = Part(slice(top // 2, bottom // 2), slice(left // 2, right // 2))
        return [Part(slice(top, bottom), slice(left, right)), chroma, chroma]

    def show(self, crop: NDArray[Any]) -> Channels:
        """Return the channels [h, w] of a crop, float32 [S, S] or [S, S, C], at these samples."""
        nodes = self._nodes(len(crop))
        return [nodes.spread(channel) for channel in cv2.split(nodes.warped(crop))]

    def show_mask(self, mask: NDArray[np.float32], apart: float) -> NDArray[np.float32]:
        """Return a smooth mask [S, S] at these samples [h, w]; where it is zero, so is what is returned.

        Args:
            apart: pixels of the mask from one node to the next: between them it is interpolated.
        """
        nodes, every = self._nodes(len(mask), apart), self._nodes(len(mask), 0.0)
        shown = nodes.spread(nodes.warped(mask))
        if nodes.every == 1:
            return shown
        return np.asarray(cv2.copyTo(shown, every.nearest((mask > 0).view(np.uint8))), np.float32)

    def places(self, flows: Sequence[NDArray[np.float32]], backs: Sequence[Matrix]) -> list[Channels]:
        """Return where in each source these samples are taken from.

        Args:
            flows: each float32 [G, G, 2], pixels of a source's mouth crop.
            backs: of each source, pixel of its mouth crop -> its sample.
        """
        nodes = self._nodes(FLOW_SIZE)
        columns, rows = nodes.samples(self.low)
        found: list[Channels] = []
        for flow, back in zip(flows, backs, strict=True):
            shift = nodes.warped(cv2.transform(flow, back[:, :2]))
            onto = back[:, :2] @ self.step
            across = (onto[:, :1] * columns + (onto[:, 2:] + back[:, 2:])).astype(np.float32)
            down = (onto[:, 1:2] * rows).astype(np.float32)[..., None]
            found.append([nodes.spread(shift[..., axis] + across[axis] + down[axis]) for axis in (0, 1)])
        return found

    def _nodes(self, side: int, apart: float = 0.5) -> _Nodes:
        """Return the nodes for a crop of so many pixels a side: so many of them apart, or all samples."""
        (a, b, x), (c, d, y) = self.step.tolist()
        (left, top), (right, bottom) = self.low.tolist(), self.high.tolist()
        scale = side / MOUTH_SIZE
        every = max(1, min(_FARTHEST, int(apart / max(scale * abs(a * d - b * c) ** 0.5, 1e-6))))
        u, v = left + _Nodes.first(every), top + _Nodes.first(every)
        shift, gain, width, height = 0.5 * scale - 0.5, scale * every, right - left, bottom - top
        matrix = np.array(
            [
                [gain * a, gain * b, scale * (a * u + b * v + x) + shift],
                [gain * c, gain * d, scale * (c * u + d * v + y) + shift],
            ]
        )
        return _Nodes(every, matrix, width, height)


@dataclass(frozen=True)
class _Nodes:
    """Every n-th sample of a grid, and one beyond on each side: between them a crop is as good as a plane.

    Attributes:
        every: n; 1: all samples, and none beyond.
        matrix: float64 [2, 3], node -> pixel of the crop.
        width, height: of the grid, samples.
    """

    every: int
    matrix: Matrix
    width: int
    height: int

    @staticmethod
    def first(every: int) -> float:
        """Return the place of the first node, in samples from the grid's first."""
        return 0.0 if every == 1 else -0.5 * (every + 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Columns and rows of nodes."""
        if self.every == 1:
            return self.width, self.height
        return -(-self.width // self.every) + 2, -(-self.height // self.every) + 2

    def samples(self, low: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """Return the sample of each column, and of each row, of a grid that begins at `low` (x, y)."""
        return [
            self.every * np.arange(count) + (first + self.first(self.every))
            for count, first in zip(self.extent, low, strict=True)
        ]

    def warped(self, crop: NDArray[Any]) -> NDArray[Any]:
        """Return what a crop shows at the nodes."""
        shown = cv2.warpAffine(crop, self.matrix, self.extent, flags=_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(shown)

    def nearest(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the pixel of a crop next to each node; 0 beyond the crop."""
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(crop, self.matrix, self.extent, flags=flags), np.uint8)

    def spread(self, channel: NDArray[Any]) -> NDArray[Any]:
        """Return the values [h, w] at all samples, from those at the nodes."""
        if self.every == 1:
            return channel
        columns, rows = (self.every * count for count in self.extent)
        shown = cv2.resize(channel, (columns, rows), interpolation=cv2.INTER_LINEAR)
        return np.asarray(shown)[self.every : self.every + self.height, self.every : self.every + self.width]


def _even(along: Sequence[float], least: int, most: int) -> tuple[int, int]:
    """Return the lowest even sample around some places, and the highest, excluded, within bounds."""
    low, high = 2 * floor(min(along) / 2), 2 * ceil((max(along) + 1) / 2)
    return min(max(low, least), most), min(max(high, least), most)


def halved(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a channel [2 h, 2 w] of luma at the samples of chroma [h, w]: left, and between two rows."""
    return (channel[::2, ::2] + channel[1::2, ::2]) * np.float32(0.5)


def halved_places(places: Channels) -> Channels:
    """Return the samples of chroma that belong to samples of luma, as in `align.to_chroma`."""
    xs, ys = (halved(axis) * np.float32(0.5) for axis in places)
    return [xs, ys - np.float32(0.25)]


def corners(marked: NDArray[np.bool_]) -> Corners | None:
    """Return what encloses the marked pixels [S, S] and the one around them that a warp adds, if any."""
    left, top, width, height = cv2.boundingRect(marked.view(np.uint8))
    xs, ys = (left - 1, left + width), (top - 1, top + height)
    return np.array([[x, y, 1.0] for x in xs for y in ys]) if width else None


@cache
def _mask() -> Corners:
    found = corners(soft_mask() > 0)
    assert found is not None
    return found
