"""The cells of the invisible mark: where in the face they lie, and which sign each has when."""

from __future__ import annotations

import hashlib
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.invisible_mark.code import SIGNS
from lipserve.lipwarp.geometry import CENTRE, SIDE, soft_mask

GRID = 12  # cells across the unit face crop, and down
CHIP = 0.16  # seconds that a cell keeps its sign
PERIOD = 32  # chips, after which the code begins anew
_STRIDE = 37  # signs from one chip to the next: a cell that cannot be read costs every sign a little
_SHOWN = 4.0  # times the soft mask, at most one: as much as is shown of a moved mouth
_MOUTH = (0.33, 0.58, 0.67, 0.80)  # x0, y0, x1, y1 of the face crop: lips, which move and are left alone
_SOFT = 1.5  # pixels of the mouth crop
_SEED = b"lipserve.invisible_mark.1"

Signs = NDArray[np.int8]


@cache
def envelope() -> NDArray[np.float32]:
    """Return how much of the mark each pixel of a mouth crop carries, float32 [96, 96], 0..1.

    It is zero where the mouth's mask is: a picture stays as it is there, to the bit.
    """
    x, y = np.meshgrid(*(_places(centre) for centre in CENTRE))
    x0, y0, x1, y1 = _MOUTH
    outside = ~((x > x0) & (x < x1) & (y > y0) & (y < y1))
    skin = cv2.GaussianBlur(outside.astype(np.float32), (0, 0), _SOFT)
    shown = np.minimum(np.float32(_SHOWN) * soft_mask(MOUTH_SIZE), np.float32(1))
    return np.asarray(skin * shown, np.float32)


@cache
def cells() -> NDArray[np.int64]:
    """Return the cells that are used, as places in the flat grid [K], rising: at least half inside."""
    across, down = np.meshgrid(*(_places(centre) for centre in CENTRE))
    carried, *_ = np.histogram2d(
        down.ravel(), across.ravel(), GRID, ((0, 1), (0, 1)), weights=envelope().ravel()
    )
    whole = (MOUTH_SIZE / SIDE / GRID) ** 2  # pixels of the mouth crop in a cell
    return np.flatnonzero(carried > 0.5 * whole)


@cache
def carriers() -> Signs:
    """Return what each chip and cell sends for a sign of +1, int8 [PERIOD, K]: it looks like noise."""
    count = PERIOD * len(cells())
    blocks = (hashlib.sha256(_SEED + bytes([n])).digest() for n in range(-(-count // 256)))
    bits = np.unpackbits(np.frombuffer(b"".join(blocks), np.uint8))[:count]
    return (1 - 2 * bits.astype(np.int8)).reshape(PERIOD, -1)


@cache
def places() -> NDArray[np.int64]:
    """Return which of the code's signs each chip and cell sends, [PERIOD, K]."""
    return (_STRIDE * np.arange(PERIOD)[:, None] + np.arange(len(cells()))) % SIGNS


def _places(centre: float) -> NDArray[np.float32]:
    """Return where the pixels of a mouth crop lie in the unit face crop, along one side [96]."""
    return (np.arange(MOUTH_SIZE, dtype=np.float32) + 0.5) / MOUTH_SIZE * SIDE + centre - SIDE / 2
