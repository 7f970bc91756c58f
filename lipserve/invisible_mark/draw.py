"""The invisible mark in pictures: a change of one to three levels of luma around driven mouths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms, invert
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.files.picture import Picture, Plane
from lipserve.invisible_mark.cells import CHIP, GRID, PERIOD, carriers, cells, envelope, places
from lipserve.invisible_mark.code import encode
from lipserve.lipwarp.geometry import CENTRE, SIDE
from lipserve.lipwarp.grid import Grid

LEVELS = (1.5, 3.0)  # of luma: on smooth skin, and at most, where more is hidden by hair and wrinkles
_OF_TEXTURE = 0.2  # of the deviation of luma around a pixel
_AROUND = 11  # pixels of the mouth crop
_TURN = 0.06  # seconds in which a cell goes from one sign to the next: less is seen as a flash


@dataclass(frozen=True)
class InvisibleMark:
    """A number on its way into the pictures of one video.

    Attributes:
        signs: float32 [PERIOD, 12, 12], of each chip and cell; 0 in cells that are not used.
    """

    signs: NDArray[np.float32]

    @classmethod
    def of(cls, number: str | None) -> Self | None:
        """Return the mark of a number of eight hexadecimal digits; None where there is none."""
        if number is None:
            return None
        grids = np.zeros((PERIOD, GRID * GRID), np.float32)
        grids[:, cells()] = carriers() * encode(number)[places()]
        return cls(grids.reshape(PERIOD, GRID, GRID))

    def draw(self, picture: Picture, transform: Transforms, seconds: float, weight: float = 1.0) -> None:
        """Add the mark to a picture's luma, in place. Outside the mouth's mask all samples keep their value.

        Args:
            picture: its planes are written to: a copy of what a decoder gave.
            transform: float32 [2, 3], picture pixel -> pixel of the mouth crop.
            seconds: of the picture in the result.
            weight: 0..1, as the driven mouth's.
        """
        back = invert(transform[None])[0].astype(np.float64)
        grid = Grid.of(transform.astype(np.float64), back, picture.y.shape)
        if grid.empty:
            return
        wave = self._at(seconds) * _levels(picture.y, transform) * (envelope() * np.float32(weight))
        (change,) = grid.show(wave)
        target = grid.parts()[0].of(picture.y)
        height, width = target.shape  # a row less than the grid has, where its rows are odd
        target[:] = cv2.add(target, np.ascontiguousarray(change[:height, :width]), dtype=cv2.CV_8U)

    def _at(self, seconds: float) -> NDArray[np.float32]:
        """Return the signs at a time, float32 [96, 96] of a mouth crop."""
        number = int(seconds / CHIP)
        turned = max(0.0, (seconds / CHIP - number - 1) * CHIP / _TURN + 1)
        share = np.float32(turned * turned * (3 - 2 * turned))
        now, then = self.signs[number % PERIOD], self.signs[(number + 1) % PERIOD]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        shown = cv2.warpAffine(now + share * (then - now), _onto(), (MOUTH_SIZE, MOUTH_SIZE), flags=flags)
        return np.asarray(np.clip(shown, -1, 1), np.float32)


@cache
def _onto() -> NDArray[np.float64]:
    """Return pixel of the mouth crop -> cell of the grid [2, 3], both counted at centres."""
    gain = SIDE / MOUTH_SIZE * GRID
    shift = [GRID * (centre - SIDE / 2 + 0.5 * SIDE / MOUTH_SIZE) - 0.5 for centre in CENTRE]
    return np.array([[gain, 0, shift[0]], [0, gain, shift[1]]])


def _levels(luma: Plane, transform: Transforms) -> NDArray[np.float32]:
    """Return how many levels each pixel of the mouth crop may change by, float32 [96, 96]."""
    size = (MOUTH_SIZE, MOUTH_SIZE)
    shown = cv2.warpAffine(luma, transform, size, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    mean, power = (cv2.blur(values, (_AROUND, _AROUND)) for values in (shown, shown * shown))
    deviation = np.sqrt(np.maximum(power - mean * mean, 0))
    return np.asarray(np.clip(_OF_TEXTURE * deviation, *LEVELS), np.float32)
