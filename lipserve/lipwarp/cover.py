"""Detection of covered mouths (hand, microphone), which are neither driven nor remembered.

A mouth is compared with remembered ones after they were moved to its shape: what then still differs, beyond
light and the inside of the mouth, is not this person's skin. Less has to differ where no lips are to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.lipwarp.flow import lip_masks, point_flow, warped
from lipserve.lipwarp.geometry import Points, soft_mask

COVERED = 0.36  # of the lower face that differs: more is something before it ...
BLANK = 0.15  # ... and so is more than this where the lips do not stand out at all
_CLEAR = 0.5  # of the lips' contrast in other pictures: that much is lips
_APART = 26.0  # levels of 255: two pixels that differ more are not the same skin
_COARSE = 24  # pixels, side of what is compared: small shifts do not count
_BESIDE, _AROUND = (np.ones((size, size), np.uint8) for size in (3, 9))  # pixels off the lips


@dataclass(frozen=True)
class Shown:
    """A mouth as a picture shows it: the crop uint8 [96, 96, 3] RGB, its MOVED points float32 [133, 2]."""

    crop: NDArray[np.uint8]
    points: Points

    @cached_property
    def lips(self) -> NDArray[np.uint8]:
        """The masks [96, 96, 2] inside the inner and the outer contour."""
        return lip_masks(self.points)

    @cached_property
    def contrast(self) -> float:
        """Contrast of the lips to the skin around them in levels, in the channel with the most."""
        inner, outer = cv2.split(self.lips)
        around = cv2.dilate(outer, _AROUND) - cv2.dilate(outer, _BESIDE)
        lips, skin = (cv2.mean(self.crop, (mask > 127).view(np.uint8)) for mask in (outer - inner, around))
        return float(np.abs(np.subtract(lips, skin)).max())

    def moved_to(self, points: Points) -> NDArray[np.float32]:
        """Return the crop, coarse, as it would look where its points lay elsewhere."""
        return _coarse(warped(self.crop, point_flow(points, self.points[None])[0]))


def difference(mouth: Shown, other: Shown) -> float:
    """Return the share 0..1 of a mouth's lower face that another mouth, moved to its shape, does not show."""
    share = _coarse(soft_mask() * (255 - mouth.lips[..., 0])) / 255
    gap = _coarse(mouth.crop) - other.moved_to(mouth.points)
    skin = share > 0.5
    gap -= np.median(gap[skin], axis=0) if skin.any() else 0
    apart = np.abs(gap).max(-1) > _APART
    return float(share[apart].sum()) / max(float(share.sum()), 1e-6)


def allowed(mouth: Shown, other: Shown) -> float:
    """Return by how much two pictures of one person's mouth may differ."""
    clear = min(1.0, mouth.contrast / max(_CLEAR * other.contrast, 1.0))
    return BLANK + clear * (COVERED - BLANK)


def covered(mouth: Shown, remembered: Iterable[Shown]) -> bool:
    """Return whether a mouth differs from every remembered one; likely matches are compared first."""
    return all(difference(mouth, other) > allowed(mouth, other) for other in remembered)


def alike(mouths: Sequence[Shown]) -> NDArray[np.int64]:
    """Return which of a person's mouths show what most of them show, int64 [K], one at least.

    Lips stand out from the skin, and what covers them has none: so a mouth that is covered half of the time
    is still the person's.
    """
    if len(mouths) < 3:
        return np.arange(len(mouths))
    contrast = np.array([mouth.contrast for mouth in mouths])
    clear = np.flatnonzero(contrast >= _CLEAR * np.quantile(contrast, 0.75))
    usual = mouths[_most_usual(mouths, clear)]
    unlike = np.array([difference(mouth, usual) for mouth in mouths])
    lenience = max(1.0, 2 * float(np.median(unlike[clear])) / COVERED)  # a head that turns is often unlike
    return np.flatnonzero(unlike <= [lenience * allowed(mouth, usual) for mouth in mouths])


def _most_usual(mouths: Sequence[Shown], among: NDArray[np.int64]) -> int:
    """Return the mouth that is nearest to the median picture of some of them."""
    target = np.median(np.stack([mouth.points for mouth in mouths]), axis=0).astype(np.float32)
    moved = [mouths[index].moved_to(target) for index in among]
    usual = np.median(np.stack(moved), axis=0)
    return int(among[np.argmin([np.abs(picture - usual).mean() for picture in moved])])


def _coarse(image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    whole = image.astype(np.float32, copy=False)
    return np.asarray(cv2.resize(whole, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA), np.float32)
