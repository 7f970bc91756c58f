"""Geometry of the mouth crop: lips, jaw and lower cheeks in 96 x 96 pixels.

It is a part of the face crop that every tier aligns (`lipserve.align`), so that all pixels are spent where
something moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.align import Image, Transforms
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.files.picture import Picture

CENTRE = (0.5, 0.69)  # of the mouth crop in the unit face crop ...
SIDE = 0.74  # ... and its side there

Points = NDArray[np.float32]
"""float32 [..., 2], pixels of a mouth crop, counted at pixel centres."""


@dataclass(frozen=True)
class Mouth:
    """The geometry of this tier's crops. It pastes no painted faces: `compose` moves pixels instead."""

    size: int = MOUTH_SIZE

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        """Return picture pixel -> mouth crop pixel, float32 [F, 2, 3], smoothed over time."""
        exact = align.estimate(landmarks.astype(np.float32))
        return mouth_transforms(align.smooth(exact, runs), pixel_aspect)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop uint8 [96, 96, 3] RGB that `transform` [2, 3] cuts."""
        return align.crop(picture, transform, self.size)


def mouth_transforms(unit: Transforms, pixel_aspect: Fraction = Fraction(1)) -> Transforms:
    """Return the transforms of mouth crops, float32 [F, 2, 3], from those of unit face crops."""
    out = unit.astype(np.float64)
    out[:, :, 2] -= np.array(CENTRE) - SIDE / 2
    return align.scale((out / SIDE).astype(np.float32), MOUTH_SIZE, pixel_aspect)


def to_crop(points: NDArray[np.float64], transforms: Transforms, pixel_aspect: Fraction) -> Points:
    """Return mesh points [F, P, 2+] of square pixels as pixels [F, P, 2] of the crops of `transforms`."""
    linear = transforms[:, :, :2].astype(np.float64)
    linear[:, :, 0] /= float(pixel_aspect)
    moved = points[..., :2] @ linear.transpose(0, 2, 1) + transforms[:, None, :, 2]
    return moved.astype(np.float32)


@cache
def soft_mask(size: int = MOUTH_SIZE) -> NDArray[np.float32]:
    """Return the mask float32 [S, S], 0..1, of a mouth crop: a soft oval that ends inside the crop."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * SIDE - SIDE / 2
    x, y = np.meshgrid(np.abs(place + CENTRE[0] - 0.5) / 0.345, (place + CENTRE[1] - 0.70) / 0.29)
    radius = (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** (1 / 2.5)
    ramp = np.clip((1.0 - radius) / 0.30, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)
