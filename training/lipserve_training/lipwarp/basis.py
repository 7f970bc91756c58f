"""The basis of lip shapes, computed from talking faces: the mean rigid face, then principal directions.

The rigid face is the mean of all speakers', each aligned to it (generalised Procrustes analysis, Gower 1975),
and made symmetric. The directions are those in which meshes leave their clip's closed mouth; every mesh has
its mirror image beside it, so a direction opens both sides alike or is itself one-sided.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import SHAPES
from lipserve.errors import SetupError
from lipserve.lipwarp.points import MOVED, RIGID
from lipserve.lipwarp.shapes import Basis, Series, frontal
from lipserve_training.lipwarp.footage import closed

CLIPS = 8  # of each speaker, spread evenly over what there is

ROUNDS = 8  # of the alignment: the mean is then still to 1e-5 of the eye distance
DEPTH = 0.5  # weight of a mesh's depth in the principal directions: it is guessed from one picture
_PAIRS = ((33, 263), (133, 362), (98, 327), (127, 356))  # of RIGID, mirrored; the others lie in the middle
_EYES = (33, 263)
_LOWER_LIP = 14

T = TypeVar("T")
Face = tuple[Series, Series]
"""One clip: meshes float64 [F, 468, 3] in any unit, and its lip measures float64 [F, 4]."""


def fit(speakers: Sequence[Sequence[Face]]) -> tuple[Basis, float]:
    """Return the basis of some speakers' clips, and the share of the variance that it holds.

    Every speaker weighs alike, and of each speaker every clip.

    Raises:
        SetupError: the faces are too few, or too one-sided, to tell left from right.
    """
    rigid = _rigid(speakers)
    aligned = Basis(rigid, np.zeros((1, len(MOVED), 3)), np.ones(1))
    fronts = [[(frontal(meshes, aligned)[0], lips) for meshes, lips in clips] for clips in speakers]
    mirror = _mirror(np.mean([np.mean([turned.mean(0) for turned, _ in clips], 0) for clips in fronts], 0))
    scale = np.tile([1, 1, DEPTH], len(MOVED))
    power = np.zeros((len(scale), len(scale)))
    for moved, weight in _moved(fronts, mirror):
        power += weight * (moved * scale).T @ (moved * scale)
    values, vectors = np.linalg.eigh(power)
    wanted = (vectors[:, ::-1][:, :SHAPES] / scale[:, None]).T
    directions = _orthonormal(wanted).reshape(SHAPES, len(MOVED), 3)
    share = float(values[::-1][:SHAPES].sum() / values.sum())
    return Basis(rigid, directions, _deviation(fronts, mirror, directions)), share


def chosen(clips: Sequence[T]) -> list[T]:
    """Return CLIPS of a speaker's, spread evenly."""
    return [clips[index] for index in np.unique(np.linspace(0, len(clips) - 1, CLIPS).round().astype(int))]


def to_bytes(basis: Basis) -> bytes:
    """Return the file that `lipserve.lipwarp.shapes` reads; equal values give equal bytes."""
    buffer = io.BytesIO()
    values = {"rigid": basis.rigid, "directions": basis.directions, "deviation": basis.deviation}
    np.savez_compressed(buffer, **{name: value.astype(np.float32) for name, value in values.items()})
    return buffer.getvalue()


def _rigid(speakers: Sequence[Sequence[Face]]) -> Series:
    """Return the symmetric mean [14, 3] of the speakers' RIGID points, outer eye distance 1."""
    mean = _normal(speakers[0][0][0][0, RIGID])
    for _ in range(ROUNDS):
        own = []
        for clips in speakers:
            basis = Basis(mean, np.zeros((1, len(MOVED), 3)), np.ones(1))
            own.append(np.mean([_onto(meshes, basis).mean(0) for meshes, _ in clips], 0))
        mean = _normal(np.mean(own, 0))
    return mean


def _onto(meshes: Series, basis: Basis) -> Series:
    points = meshes[:, RIGID]
    _, poses = frontal(meshes, basis)
    turned = (points - points.mean(1, keepdims=True)) @ poses.rotation / poses.scale[:, None, None]
    return np.asarray(turned + basis.rigid.mean(0))


def _normal(rigid: Series) -> Series:
    """Return RIGID points [14, 3] around their centre, symmetric, of outer eye distance 1."""
    points = rigid - rigid.mean(0)
    order = list(range(len(RIGID)))
    for left, right in _PAIRS:
        a, b = (int(np.flatnonzero(point == RIGID)[0]) for point in (left, right))
        order[a], order[b] = b, a
    points = (points + points[order] * [-1, 1, 1]) / 2
    eyes = [int(np.flatnonzero(point == RIGID)[0]) for point in _EYES]
    return np.asarray(points / np.linalg.norm(points[eyes[0]] - points[eyes[1]]))


def _mirror(face: Series) -> NDArray[np.int64]:
    """Return for each MOVED point of the mean face [133, 3] the one on the other side."""
    distance = np.linalg.norm((face * [-1, 1, 1])[:, None] - face, axis=-1)
    order = distance.argmin(1)
    if sorted(order) != list(range(len(face))):
        raise SetupError(
            "The mean face is not symmetric enough to tell its left from its right.",
            "Give more speakers, or faces that look at the camera.",
        )
    return np.asarray(order)


def _moved(fronts: Sequence[Sequence[Face]], mirror: NDArray[np.int64]) -> Iterator[tuple[Series, float]]:
    """Yield how far the points of each clip, and of its mirror image, are from the closed mouth [F, 399]."""
    for clips in fronts:
        for turned, lips in clips:
            away = turned - closed(turned, lips)
            for side in (away, (away * [-1, 1, 1])[:, mirror]):
                yield side.reshape(len(side), -1), 1 / (len(clips) * len(side))


def _orthonormal(rows: Series) -> Series:
    """Return orthonormal rows [K, D] that span the given ones in their order; the first opens the mouth."""
    q = np.linalg.qr(rows.T)[0].T
    lowest = 3 * int(np.flatnonzero(MOVED == _LOWER_LIP)[0]) + 1
    for number, row in enumerate(q):
        largest = row[lowest] if number == 0 else row[np.abs(row).argmax()]
        q[number] = row * np.sign(largest)
    return np.asarray(q)


def _deviation(fronts: Sequence[Sequence[Face]], mirror: NDArray[np.int64], directions: Series) -> Series:
    flat = directions.reshape(len(directions), -1)
    total, weights = np.zeros(len(flat)), 0.0
    for moved, weight in _moved(fronts, mirror):
        total += weight * ((moved @ flat.T) ** 2).sum(0)
        weights += weight * len(moved)
    return np.asarray(np.sqrt(total / weights))
