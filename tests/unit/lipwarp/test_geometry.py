"""The mouth crop in the face crop, mesh points in it, and the mask."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipserve import align
from lipserve.lipwarp.geometry import CENTRE, SIDE, Mouth, mouth_transforms, soft_mask, to_crop
from tests.support.pictures import face_at, textured

UNIT = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)


def test_the_crop_is_a_square_of_the_face_crop() -> None:
    """Edges lie half a pixel outside of the first and the last centre."""
    matrix = mouth_transforms(UNIT)[0].astype(np.float64)
    middle = matrix[:, :2] @ CENTRE + matrix[:, 2]
    np.testing.assert_allclose(middle, [47.5, 47.5], atol=1e-4)
    low, high = np.array(CENTRE) - SIDE / 2, np.array(CENTRE) + SIDE / 2
    np.testing.assert_allclose(matrix[:, :2] @ low + matrix[:, 2], [-0.5, -0.5], atol=1e-4)
    np.testing.assert_allclose(matrix[:, :2] @ high + matrix[:, 2], [95.5, 95.5], atol=1e-4)


def test_the_mouth_crop_lies_where_the_face_lies() -> None:
    landmarks = face_at(0.3, 200.0, 250.0, 130.0)
    (matrix,) = Mouth().transforms(
        landmarks.astype(np.float64), np.zeros(1, np.int64), Fraction(1), (640, 480)
    )
    linear = 200 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    middle = linear @ CENTRE + [250.0, 130.0]
    np.testing.assert_allclose(matrix[:, :2] @ middle + matrix[:, 2], [47.5, 47.5], atol=1e-2)
    assert np.sqrt(np.linalg.det(matrix[:, :2])) == pytest.approx(96 / (SIDE * 200), rel=1e-4)


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(64, 45)])
def test_points_of_square_pixels_land_where_the_crop_shows_them(aspect: Fraction) -> None:
    """A point that a picture of oblong pixels has at x has x times the aspect in square ones."""
    transforms = mouth_transforms(align.estimate(face_at(0.2, 180.0, 220.0, 100.0)), aspect)
    own = np.array([[300.0, 260.0], [321.5, 244.0]])
    square = own * [float(aspect), 1]
    expected = own @ transforms[0, :, :2].astype(np.float64).T + transforms[0, :, 2]
    np.testing.assert_allclose(to_crop(square[None], transforms, aspect)[0], expected, atol=1e-4)


def test_a_crop_of_a_turned_face_is_upright() -> None:
    """Cut at an angle from a picture, it shows what the unit square around the mouth holds."""
    picture = textured(480, 480)
    crops = []
    for angle in (0.0, 0.4):
        (matrix,) = mouth_transforms(align.estimate(face_at(angle, 200.0, 170.0, 120.0)))
        crops.append(Mouth().crop(picture, matrix))
        assert crops[-1].shape == (96, 96, 3)
        back = align.invert(matrix[None])[0]
        x, y = back[:, :2] @ [47.0, 47.0] + back[:, 2]
        shown = align.crop(picture, np.array([[1, 0, -x], [0, 1, -y]], np.float32), 1)[0, 0]
        assert np.abs(crops[-1][47, 47].astype(int) - shown).max() <= 1
    assert np.abs(crops[0].astype(int) - crops[1]).mean() > 5


def test_the_mask_is_whole_on_the_lips_and_ends_inside_the_crop() -> None:
    mask = soft_mask()
    assert (mask.dtype, mask.shape) == (np.float32, (96, 96))
    assert mask.min() == 0.0
    assert mask.max() == pytest.approx(1.0, abs=1e-6)
    lips = round(((0.67 - CENTRE[1]) / SIDE + 0.5) * 96)
    assert mask[lips - 12 : lips + 12, 20:76].min() > 0.999
    assert not np.concatenate(
        [mask[:2].ravel(), mask[-2:].ravel(), mask[:, :1].ravel(), mask[:, -1:].ravel()]
    ).any()
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-5)
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2  # nobody sees where it ends


def test_a_finer_mask_has_the_same_form() -> None:
    fine = soft_mask(192)
    coarse = fine.reshape(96, 2, 96, 2).mean((1, 3))
    assert np.abs(coarse - soft_mask()).max() < 0.01
