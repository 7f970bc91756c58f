"""Meshes to shapes and back: turning, scaling and moving a face changes no number of its lips."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.contracts.lipwarp import MOVED_POINTS, SHAPES
from lipserve.lipwarp.geometry import to_crop
from lipserve.lipwarp.points import INNER, MOVED, OUTER
from lipserve.lipwarp.shapes import Basis, displacement, frontal, shapes, shipped_basis
from tests.unit.lipwarp.people import BASIS, closed, crop_transform, mesh, turned

SHAPE = (0.5, -0.1, 0.05, 0.02, -0.03, 0.01, 0.02, -0.01)
ANGLES = st.floats(-0.6, 0.6)


@pytest.mark.parametrize("basis", [shipped_basis(), BASIS])
def test_the_directions_are_orthonormal_and_the_first_moves_most(basis: Basis) -> None:
    assert basis.directions.shape == (SHAPES, MOVED_POINTS, 3)
    flat = basis.directions.reshape(SHAPES, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(SHAPES), atol=1e-5)
    assert np.linalg.norm(basis.rigid[0] - basis.rigid[3]) == pytest.approx(1.0, abs=1e-3)  # the eye corners
    assert (np.diff(basis.deviation) < 0).all()
    assert shipped_basis() is shipped_basis()


def test_the_first_direction_opens_the_mouth_and_the_jaw() -> None:
    down = shipped_basis().directions[0, :, 1]
    lower, upper = INNER.start + 5, INNER.start + 15
    assert down[lower] - down[upper] > 0.1
    assert down[OUTER.start + 5] - down[OUTER.start + 15] > 0.05


@given(yaw=ANGLES, pitch=ANGLES, roll=st.floats(-3, 3), scale=st.floats(20, 900), x=st.floats(-1e3, 1e3))
def test_place_and_pose_of_a_face_do_not_matter(
    yaw: float, pitch: float, roll: float, scale: float, x: float
) -> None:
    rotation = turned(yaw, pitch, roll)
    moved = mesh(SHAPE, rotation, scale) + np.array([x, -2 * x, x / 3])
    points, poses = frontal(moved[None], BASIS)
    np.testing.assert_allclose(poses.rotation[0], rotation, atol=1e-6)
    assert poses.scale[0] == pytest.approx(scale)
    np.testing.assert_allclose(points[0], mesh(SHAPE)[MOVED], atol=1e-6)
    np.testing.assert_allclose(shapes(points, closed(), BASIS)[0], SHAPE, atol=1e-6)


def test_the_closed_mouth_is_the_origin() -> None:
    points, _ = frontal(np.stack([mesh(), mesh(SHAPE)]), BASIS)
    np.testing.assert_allclose(shapes(points, closed(), BASIS)[0], np.zeros(SHAPES), atol=1e-6)
    np.testing.assert_allclose(shapes(points, points[1], BASIS)[1], np.zeros(SHAPES), atol=1e-6)


def test_no_faces_have_no_shapes() -> None:
    points, poses = frontal(np.zeros((0, 468, 3)), BASIS)
    assert shapes(points, closed(), BASIS).shape == (0, SHAPES)
    assert displacement(np.zeros((0, SHAPES)), poses.onto(np.eye(2)), BASIS).shape == (0, MOVED_POINTS, 2)


def test_a_face_is_never_mirrored() -> None:
    mirrored = mesh(SHAPE) * [-1, 1, 1]
    _, poses = frontal(mirrored[None], BASIS)
    assert np.linalg.det(poses.rotation[0]) == pytest.approx(1.0)


def test_a_change_of_shape_moves_the_points_of_a_turned_face_there() -> None:
    rotation, scale = turned(0.4, -0.2, 0.1), 120.0
    before, after = mesh(SHAPE, rotation, scale), mesh((0.1, 0.1), rotation, scale)
    points, poses = frontal(np.stack([before, after]), BASIS)
    told = shapes(points, closed(), BASIS)
    moved = displacement(told[1:] - told[:1], poses.onto(np.eye(2))[:1], BASIS)
    np.testing.assert_allclose(before[MOVED, :2] + moved[0], after[MOVED, :2], atol=1e-4)
    assert np.abs(moved[0]).max() > 3


def test_displacements_in_a_crop_are_those_of_the_picture_turned_and_scaled() -> None:
    """POSES: the crop's own transform after the face's pose."""
    rotation, transform = turned(0.3), crop_transform(angle=0.2)
    before, after = (
        mesh(shape, rotation, 150.0) + np.array([300.0, 180.0, 0]) for shape in ((0.0,), (0.6, 0.05))
    )
    shown = to_crop(np.stack([before, after])[:, MOVED], transform[None].repeat(2, 0), Fraction(1))
    points, poses = frontal(np.stack([before, after]), BASIS)
    onto = poses.onto(transform[None, :, :2].astype(np.float64))
    np.testing.assert_allclose(onto[0], transform[:, :2] @ rotation[:2] * 150.0, atol=1e-5)
    told = shapes(points, closed(), BASIS)
    moved = displacement(told[1:] - told[:1], onto[:1], BASIS)
    np.testing.assert_allclose(shown[0] + moved[0], shown[1], atol=1e-3)
