"""Rest of a mouth in silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAKING = 0.25  # height over width of the inner lips: more is an open mouth
_HEIGHT, _WIDTH = (13, 14), (78, 308)  # mesh points: middles and corners of the inner lips


def apart(meshes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the inner lips over their width [F], of meshes [F, 468, 2 or more]."""
    height, width = (
        np.linalg.norm(meshes[:, a, :2] - meshes[:, b, :2], axis=1) for a, b in (_HEIGHT, _WIDTH)
    )
    return np.asarray(height / np.maximum(width, 1e-9))


def lip_leak(meshes: NDArray[np.float64]) -> float:
    """Return LipLeak (KeySync, Bigata et al., 2025): the share of frames on silence in which a mouth is open.

    It is open where its inner lips are higher than a quarter of their width.

    Args:
        meshes: float64 [S, 468, 2], driven by silence.
    """
    return float((apart(meshes) > LEAKING).mean())
