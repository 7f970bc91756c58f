"""What decides the shapes of leaves that can be exported at several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Landmarks = Literal["mesh", "106"]
PIXELS_PER_LATENT = 8


@dataclass(frozen=True)
class Form:
    """What decides the shapes of the quality tier's leaves.

    Attributes:
        resolution: pixels, side of a face crop.
        channels: of UNet3D's first level: what DeepCache keeps between steps. 320 at full width.
        landmarks: what faces are aligned by: the mesh, or 106 points of a network that a user supplied.
    """

    resolution: int = 256
    channels: int = 320
    landmarks: Landmarks = "mesh"

    @property
    def grid(self) -> int:
        return self.resolution // PIXELS_PER_LATENT
