"""How face crops are cut and pasted: what every tier's geometry can do."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lipserve.align import Image, Transforms
from lipserve.files.picture import Picture


class Geometry(Protocol):
    """How a tier cuts face crops, uint8 [S, S, 3] RGB."""

    @property
    def size(self) -> int:
        """S."""

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        """Return where the crops lie, float32 [F, 2, 3], smoothed over time.

        Args:
            landmarks: float64 [F, P, 2 or more] in square pixels, in order of time: 468 points of a mesh, then
                those that the tier's own tracker adds.
            runs: int64 [F], a label that changes where the smoothing must not look across (cuts, gaps).
            pixel_aspect: width / height of one pixel of the picture.
            extent: width, height of the picture, pixels.
        """

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop that `transform` [2, 3] cuts."""


@runtime_checkable
class Painting(Geometry, Protocol):
    """The geometry of a tier whose generator makes whole crops, which are pasted back."""

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        """Blend a face, cut by `transform`, into a picture, in place; `weight` 0..1 is of the whole mask."""
