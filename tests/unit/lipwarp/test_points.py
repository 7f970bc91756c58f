"""Which points move: no point twice, and the contours go around the lips."""

from __future__ import annotations

import numpy as np

from lipserve.contracts.lipwarp import MOVED_POINTS
from lipserve.lipwarp.points import INNER, JAW, LIPS_INNER, LIPS_OUTER, MOVED, OUTER, RIGID
from lipserve.lipwarp.shapes import shipped_basis


def test_every_point_is_of_the_mesh_and_there_once() -> None:
    assert len(MOVED) == len(set(MOVED.tolist())) == MOVED_POINTS
    assert len(RIGID) == len(set(RIGID.tolist())) == len(shipped_basis().rigid)
    assert min(MOVED.min(), RIGID.min()) >= 0
    assert max(MOVED.max(), RIGID.max()) < 468


def test_the_lips_come_first() -> None:
    assert tuple(MOVED[OUTER]) == LIPS_OUTER
    assert tuple(MOVED[INNER]) == LIPS_INNER
    assert set(JAW) <= set(MOVED.tolist())


def test_a_contour_goes_from_the_left_corner_over_the_lower_lip() -> None:
    """The numbers that the mesh's topology gives to corners and middles."""
    for contour, corners, middles in ((LIPS_OUTER, (61, 291), (17, 0)), (LIPS_INNER, (78, 308), (14, 13))):
        assert (contour[0], contour[10]) == corners
        assert (contour[5], contour[15]) == middles


def test_rigid_points_hardly_move_in_the_basis() -> None:
    """The wings of the nose are in both lists: they are followed as the face, and pulled as the lips."""
    both = [int(np.flatnonzero(point == MOVED)[0]) for point in RIGID if point in MOVED]
    assert sorted(MOVED[both].tolist()) == [98, 327]
    opening = np.linalg.norm(shipped_basis().directions[0], axis=1)
    assert opening[both].max() < 0.2 * opening.max()
