"""Who is who across the shots of one film, by colour alone.

A face of another shot counts as the same person where hair, skin and clothes have the same colours. This
holds within one film, in which people keep their clothes and the light hardly changes. It is no recognition
of faces: two people who are dressed alike may become one, and one person in another coat or another light
becomes two. Two faces that are seen at the same time are never one person.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Picture
from lipserve.quality.results import CheckedFace

Look = NDArray[np.float32]

ALIKE = 0.36  # Hellinger distance of two looks that are one person's: see docs/cues.md
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


def together(faces: Sequence[CheckedFace], looks: Sequence[Look]) -> list[list[int]]:
    """Return the faces of each person, as places in `faces`, in the order of appearance."""
    people: list[list[int]] = []
    for place, face in enumerate(faces):
        near = [
            (min(apart(looks[place], looks[other]) for other in known), known)
            for known in people
            if not any(_at_once(face, faces[other]) for other in known)
        ]
        best = min(near, key=lambda pair: pair[0], default=None)
        if best is not None and best[0] < ALIKE:
            best[1].append(place)
        else:
            people.append([place])
    return people


def _at_once(one: CheckedFace, other: CheckedFace) -> bool:
    return one.shot == other.shot and one.begin < other.end and other.begin < one.end


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
    smooth = cv2.GaussianBlur(counts.reshape(_BINS[0], -1), (3, 1), 0).ravel() + 1e-6
    return np.asarray(smooth / smooth.sum(), np.float32)
