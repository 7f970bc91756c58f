"""The tier `wav2lip`'s own geometry: aligned crops, pasted back through a soft mask over the lower face."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.align import Image, Transforms
from lipserve.contracts import WAV2LIP_SIZE
from lipserve.files.picture import Picture
from lipserve.wav2lip.paste import paste


@dataclass(frozen=True)
class Similarity:
    """A `lipserve.tiers.Geometry`: square crops of `size` pixels, as `lipserve.align` cuts them."""

    size: int

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        exact = align.estimate(landmarks.astype(np.float32))
        return align.scale(align.smooth(exact, runs), self.size, pixel_aspect)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        return align.crop(picture, transform, self.size)

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        paste(picture, face, transform, soft_mask(self.size), weight)


@cache
def soft_mask(size: int = WAV2LIP_SIZE) -> NDArray[np.float32]:
    """Return the mask float32 [S, S], 0..1: the lower face, with a feather that ends inside the crop."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(np.abs(centre - 0.5) / 0.36, (centre - 0.70) / 0.27)
    radius = (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** (1 / 2.5)
    ramp = np.clip((1.0 - radius) / 0.30, 0, 1)
    return cast(NDArray[np.float32], (ramp * ramp * (3 - 2 * ramp)).astype(np.float32))
