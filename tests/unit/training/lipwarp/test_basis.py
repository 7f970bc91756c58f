"""Faces that are made of a known basis give it back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.errors import SetupError
from lipserve.lipwarp.points import MOVED, RIGID
from lipserve.lipwarp.shapes import Basis, shipped_basis
from lipserve.quality import lips
from lipserve_training.lipwarp import basis

# How far each direction of the known basis goes: they differ, so that their order is told.
AMOUNTS = np.array([0.4, 0.2, 0.12, 0.09, 0.06, 0.04, 0.025, 0.015])


def mouth() -> NDArray[np.float64]:
    """A symmetric arrangement of the MOVED points [133, 3]: each one's mirror image is another, or itself."""
    known = shipped_basis().directions
    spread = np.random.default_rng(2).uniform(0.2, 0.8, (len(MOVED), 3))
    face = np.full((len(MOVED), 3), np.nan)
    for point in range(len(MOVED)):
        if np.isnan(face[point, 0]):
            strength = (known[0][:, 1:] - known[0][point, 1:]) ** 2
            twin = int(np.argmin(strength.sum(1) + (known[0][:, 0] + known[0][point, 0]) ** 2))
            face[point], face[twin] = spread[point] * [-1, 1, 1], spread[point]
            if twin == point:
                face[point, 0] = 0
    return face


def faces(rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """Meshes [F, 468, 3] of a talking face from the front; in the first frames its mouth is closed."""
    known = shipped_basis()
    shapes = rng.normal(0, 1, (frames, 8)) * AMOUNTS
    shapes[:, 0] = np.abs(shapes[:, 0]) + 0.05
    shapes[: frames // 7] = 0
    meshes = np.zeros((frames, 468, 3))
    meshes[:, MOVED] = mouth() + np.tensordot(shapes, known.directions, 1)
    meshes[:, RIGID] = known.rigid
    return meshes


@pytest.fixture(scope="module")
def speakers() -> list[list[basis.Face]]:
    rng = np.random.default_rng(4)
    made = []
    for _ in range(3):
        clips = []
        for _ in range(2):
            meshes = faces(rng, 140)
            angle, scale, shift = rng.normal(0, 0.2), rng.uniform(0.2, 3), rng.normal(0, 5, 3)
            turn = np.array(
                [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
            )
            clips.append((scale * meshes @ turn.T + shift, lips.measure(meshes)))
        made.append(clips)
    return made


@pytest.fixture(scope="module")
def fitted(speakers: list[list[basis.Face]]) -> tuple[Basis, float]:
    return basis.fit(speakers)


def test_the_rigid_face_comes_back(fitted: tuple[Basis, float]) -> None:
    known = shipped_basis().rigid
    np.testing.assert_allclose(fitted[0].rigid, known - known.mean(0), atol=1e-3)


def test_the_space_of_the_directions_comes_back(fitted: tuple[Basis, float]) -> None:
    made, share = fitted
    flat = made.directions.reshape(8, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(8), atol=1e-9)
    within = flat @ shipped_basis().directions.reshape(8, -1).T
    assert (np.linalg.norm(within, axis=1)[:3] > 0.9).all()
    assert share > 0.9
    assert (np.diff(made.deviation)[:3] < 0).all()


def test_the_first_direction_opens_the_mouth(fitted: tuple[Basis, float]) -> None:
    first = fitted[0].directions[0]
    lower = int(np.flatnonzero(MOVED == 14)[0])
    assert first[lower, 1] > 0
    assert abs(float(first.reshape(-1) @ shipped_basis().directions[0].reshape(-1))) > 0.95


def test_the_same_faces_give_the_same_bytes_and_the_bytes_the_basis(
    speakers: list[list[basis.Face]], fitted: tuple[Basis, float]
) -> None:
    data = basis.to_bytes(fitted[0])
    assert basis.to_bytes(basis.fit(speakers)[0]) == data
    with np.load(io.BytesIO(data)) as held:
        assert set(held.files) == {"rigid", "directions", "deviation"}
        np.testing.assert_allclose(held["directions"], fitted[0].directions, atol=1e-6)


def test_faces_that_are_one_sided_are_refused(speakers: list[list[basis.Face]]) -> None:
    rng = np.random.default_rng(0)
    meshes, measures = speakers[0][0]
    bent = meshes + np.repeat(rng.normal(0, 1, (1, 468, 3)) * [1, 1, 0], len(meshes), 0)
    bent[:, RIGID] = meshes[:, RIGID]
    with pytest.raises(SetupError, match="not symmetric"):
        basis.fit([[(bent, measures)]])


def test_clips_are_chosen_evenly() -> None:
    assert basis.chosen(list(range(29))) == [0, 4, 8, 12, 16, 20, 24, 28]
    assert basis.chosen(["a", "b"]) == ["a", "b"]
