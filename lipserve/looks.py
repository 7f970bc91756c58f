"""How a person looks: the colours of hair, skin and clothes.

Within one film, in which people keep their clothes and the light hardly changes, a face of another shot
counts as the same person where these colours are the same. It is no recognition of faces: two people who are
dressed alike look alike, and one person in another coat or another light does not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Picture

Look = NDArray[np.float32]

ALIKE = 0.36  # Hellinger distance of two looks that are one person's: see docs/cues.md
SOMEBODY_ELSE = 0.28  # distance of two mouths' tints from which on they are two people's
_TINT_BINS = (4, 16, 16)  # of luma, and of both chroma planes
_BINS = (6, 12, 12)  # of luma, and of both chroma planes
_AROUND = (0.35, 0.45, 1.1)  # of the box's size: at the sides, above, and below, where the clothes are


def look(picture: Picture, box: tuple[float, float, float, float]) -> Look:
    """Return the colours of a person: a histogram for hair and face, and one for the clothes, float32 [2 K].

    Args:
        box: x0, y0, x1, y1 of the face, pixels.
    """
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    left, right = x0 - _AROUND[0] * wide, x1 + _AROUND[0] * wide
    head = _colours(picture, x0, y0 - _AROUND[1] * high, x1, y1)
    body = _colours(picture, left, y1 + 0.1 * high, right, y1 + _AROUND[2] * high)
    return np.concatenate([head, body])


def apart(one: Look, other: Look) -> float:
    """Return how far two looks are apart: Hellinger's distance, the mean of both parts, 0 to 1."""
    parts = np.sqrt(one * other).reshape(2, -1).sum(1)
    return float(np.sqrt(np.clip(1 - parts, 0, 1)).mean())


def tint(mouth: NDArray[np.uint8]) -> Look:
    """Return the colours of a mouth crop uint8 [S, S, 3] RGB, a histogram float32 [K].

    Of 18 people, two moments of one were at most 0.21 apart, moments of two people at least 0.35.
    """
    planes = cv2.cvtColor(mouth, cv2.COLOR_RGB2YUV)
    counts = cv2.calcHist([planes], [0, 1, 2], None, list(_TINT_BINS), [0, 256, 80, 176, 80, 176])
    return _shares(counts, _TINT_BINS[0] * _TINT_BINS[1])


def tints_apart(one: Look, other: Look) -> float:
    """Return how far two tints are apart: Hellinger's distance, 0 to 1."""
    return float(np.sqrt(max(0.0, 1 - float(np.sqrt(one * other).sum()))))


def _shares(counts: NDArray[Any], rows: int) -> Look:
    smooth = cv2.GaussianBlur(counts.reshape(rows, -1), (3, 1), 0).ravel() + 1e-6
    return np.asarray(smooth / smooth.sum(), np.float32)


def _colours(picture: Picture, left: float, top: float, right: float, bottom: float) -> Look:
    height, width = picture.y.shape
    x0, x1 = int(np.clip(left, 0, width - 2)), int(np.clip(right, 2, width))
    y0, y1 = int(np.clip(top, 0, height - 2)), int(np.clip(bottom, 2, height))
    half = np.s_[y0 // 2 : max(y1 // 2, y0 // 2 + 1), x0 // 2 : max(x1 // 2, x0 // 2 + 1)]
    u, v = picture.u[half], picture.v[half]
    y = cv2.resize(
        picture.y[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)], u.shape[::-1], interpolation=cv2.INTER_AREA
    )
    ranges = [0, 256, 64, 192, 64, 192]
    counts = cv2.calcHist([np.dstack([y, u, v])], [0, 1, 2], None, list(_BINS), ranges)
    return _shares(counts, _BINS[0])
