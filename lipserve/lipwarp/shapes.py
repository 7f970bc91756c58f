"""Lip shapes: eight numbers for lips, jaw and lower face, independent of the person.

The mesh is turned to the front and scaled to the distance of the outer eye corners (a rigid alignment of
the points that hardly move, Umeyama 1991); what then differs from the person's own closed mouth is written
in SHAPES principal directions. So a turned or a near face has the shape of the same face from the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.lipwarp.points import MOVED, RIGID

Series = NDArray[np.float64]

BASIS_FILE = "shapes.npz"


@dataclass(frozen=True)
class Basis:
    """The principal directions, and the face that meshes are turned to.

    Attributes:
        rigid: float64 [14, 3], the RIGID points of the mean face, outer eye distance 1.
        directions: float64 [K, 133, 3], orthonormal, of the MOVED points; the first opens the mouth.
        deviation: float64 [K], of each over speech, in eye distances.
    """

    rigid: Series
    directions: Series
    deviation: Series

    @property
    def count(self) -> int:
        return len(self.directions)


@dataclass(frozen=True)
class Poses:
    """Poses of faces: rotation [F, 3, 3] from the front to the picture, pixels per eye distance [F]."""

    rotation: Series
    scale: Series

    def onto(self, linear: Series) -> Series:
        """Return the front's eye distances -> pixels of crops [F, 2, 3], of picture -> crop [F, 2, 2]."""
        return np.asarray(linear @ (self.rotation[:, :2] * self.scale[:, None, None]))


def frontal(landmarks: Series, basis: Basis) -> tuple[Series, Poses]:
    """Return the MOVED points [F, 133, 3] turned to the front, in eye distances, and how the faces stand.

    Args:
        landmarks: float64 [F, 468, 3], meshes in square pixels; z grows away from the camera.
    """
    points = landmarks[:, RIGID]
    centre, origin = points.mean(1, keepdims=True), basis.rigid.mean(0)
    p, q = points - centre, basis.rigid - origin
    u, values, vt = np.linalg.svd(p.transpose(0, 2, 1) @ q)
    flip = np.ones_like(values)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None]) @ vt
    scale = (values * flip).sum(1) / (q**2).sum()
    turned = (landmarks[:, MOVED] - centre) @ rotation / scale[:, None, None] + origin
    return turned, Poses(rotation, scale)


def shapes(points: Series, closed: Series, basis: Basis) -> Series:
    """Return the shapes [F, K] of frontal points [F, 133, 3] beside the person's closed mouth [133, 3]."""
    return np.asarray(np.tensordot(points - closed, basis.directions, ((1, 2), (1, 2))))


def displacement(change: Series, onto: NDArray[Any], basis: Basis) -> NDArray[np.float32]:
    """Return how far the MOVED points go, float32 [F, 133, 2], where shapes change by [F, K].

    Args:
        onto: [F, 2, 3], the front's eye distances -> the pixels that are asked for (`Poses.onto`).
    """
    vectors = np.tensordot(change, basis.directions, 1)
    return np.asarray(vectors @ onto.transpose(0, 2, 1), np.float32)


@cache
def shipped_basis() -> Basis:
    """Return the basis that comes with LipServe: of the training speakers of GRID."""
    with resources.as_file(resources.files("lipserve.lipwarp") / BASIS_FILE) as path, np.load(path) as held:
        return Basis(held["rigid"], held["directions"], held["deviation"])
