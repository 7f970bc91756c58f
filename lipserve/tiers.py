"""What differs between the tiers where the rest of the pipeline is one."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipserve.align import Image, Transforms
from lipserve.contracts import WAV2LIP_SIZE, Tier
from lipserve.latentsync.geometry import Reference
from lipserve.media.picture import Picture
from lipserve.wav2lip.geometry import Similarity


class Geometry(Protocol):
    """How a tier cuts face crops, uint8 [S, S, 3] RGB, and pastes generated ones back."""

    @property
    def size(self) -> int:
        """S."""

    def transforms(
        self, landmarks: NDArray[np.float64], runs: NDArray[np.int64], pixel_aspect: Fraction
    ) -> Transforms:
        """Return where the crops lie, float32 [F, 2, 3], smoothed over time.

        Args:
            landmarks: float64 [F, 468, 2], meshes in square pixels, in order of time.
            runs: int64 [F], a label that changes where the smoothing must not look across (cuts, gaps).
            pixel_aspect: width / height of one pixel of the picture.
        """

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop that `transform` [2, 3] cuts."""

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        """Blend a face, cut by `transform`, into a picture, in place; `weight` 0..1 is of the whole mask."""


def geometry(tier: Tier, resolution: int) -> Geometry:
    """Return the geometry of a tier.

    Args:
        resolution: of the quality tier's crops, 256 or 512; the fast tier has one size only.
    """
    return Similarity(WAV2LIP_SIZE) if tier == "wav2lip" else Reference(resolution)
