"""A picture without people, and a mesh whose place in it is known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.files.picture import Colour, Picture

BT709 = Colour()


def textured(width: int, height: int, colour: Colour = BT709) -> Picture:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (height, width), np.uint8)
    y = cv2.GaussianBlur(noise, (0, 0), 4)
    half = ((width + 1) // 2, (height + 1) // 2)
    return Picture(np.asarray(y), cv2.resize(y, half) // 2 + 64, 192 - cv2.resize(y, half) // 2, colour)


def face_at(angle: float, size: float, x: float, y: float) -> NDArray[np.float32]:
    """Return a mesh whose rigid points are the template, turned, scaled and moved; the rest is elsewhere."""
    linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mesh = np.random.default_rng(1).normal(0, 1000, (468, 2))
    mesh[list(align.RIGID_POINTS)] = align.TEMPLATE @ linear.T + [x, y]
    return mesh[None].astype(np.float32)
