"""Whether something lies before a mouth: a hand, a microphone. Such a mouth is neither driven nor remembered.

A mouth is compared with remembered ones after they were moved to its shape: what then still differs, beyond
light and the inside of the mouth, is not this person's skin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.lipwarp.flow import lip_masks, point_flow, warped
from lipserve.lipwarp.geometry import Points, soft_mask

COVERED = 0.36  # of the lower face that differs: more is something before it
_COARSE = 24  # pixels, side of what is compared: small shifts do not count
_APART = 26.0  # levels of 255: two pixels that differ more are not the same skin

Crop = NDArray[np.uint8]


def difference(crop: Crop, points: Points, other: Crop, other_points: Points) -> float:
    """Return the share 0..1 of a mouth's lower face that another mouth, moved to its shape, does not show.

    Args:
        crop, other: uint8 [96, 96, 3] RGB, with their MOVED points float32 [133, 2].
    """
    moved = warped(other, point_flow(points[None], other_points[None])[0])
    weight = soft_mask() * (1 - lip_masks(points)[..., 0] / np.float32(255))
    a, b, share = (_coarse(np.asarray(image, np.float32)) for image in (crop, moved, weight))
    total = float(share.sum())
    gap = a - b
    gap -= np.median(gap[share > 0.5], axis=0) if (share > 0.5).any() else 0
    return float((share * (np.abs(gap).max(-1) > _APART)).sum()) / max(total, 1e-6)


def covered(crop: Crop, points: Points, remembered: Iterable[tuple[Crop, Points]]) -> bool:
    """Return whether a mouth is unlike every remembered one; the likeliest ones come first, to be quick."""
    return all(difference(crop, points, *other) > COVERED for other in remembered)


def alike(crops: Sequence[Crop], points: Sequence[Points]) -> NDArray[np.int64]:
    """Return which of a person's mouths show what most of them show, int64 [K], one at least."""
    if len(crops) < 3:
        return np.arange(len(crops))
    middle = _most_usual(crops, points)
    unlike = np.array(
        [
            difference(crop, own, crops[middle], points[middle])
            for crop, own in zip(crops, points, strict=True)
        ]
    )
    return np.flatnonzero(unlike <= max(COVERED, 2 * float(np.median(unlike))))


def _most_usual(crops: Sequence[Crop], points: Sequence[Points]) -> int:
    """Return the mouth that is nearest to the median picture of all."""
    target = np.median(np.stack(points), axis=0).astype(np.float32)
    moved = [
        _coarse(warped(crop, point_flow(target[None], own[None])[0]).astype(np.float32))
        for crop, own in zip(crops, points, strict=True)
    ]
    usual = np.median(np.stack(moved), axis=0)
    return int(np.argmin([np.abs(picture - usual).mean() for picture in moved]))


def _coarse(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA), np.float32)
