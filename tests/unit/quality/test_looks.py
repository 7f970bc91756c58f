from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.quality import looks


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    luma = np.zeros((5, 5), np.float32)
    luma[2, 2] = 10
    around = [0, 10, 0, 10, -40, 10, 0, 10, 0]
    inside = np.zeros((5, 5), np.float32)
    inside[1:4, 1:4] = 0.6
    assert looks.sharpness(luma, inside) == pytest.approx(np.var(around), rel=1e-5)


def test_flicker_is_the_second_difference_in_time() -> None:
    ramp = [np.full((4, 6), 3.0 * t, np.float32) for t in range(8)]
    joined = np.array([False] + [True] * 7)
    assert looks.flicker(ramp, joined) == 0  # a steady motion does not flicker
    shaken = [frame + (-1) ** t for t, frame in enumerate(ramp)]
    assert looks.flicker(shaken, joined) == pytest.approx(4)


def test_jumps_of_the_source_are_no_flicker() -> None:
    jumping = [np.full((4, 6), 100.0 * (t >= 5), np.float32) for t in range(8)]
    joined = np.array([False] + [True] * 7)
    assert looks.flicker(jumping, joined) > 30
    joined[5] = False
    assert looks.flicker(jumping, joined) == 0


def test_the_mouth_is_where_lips_are_in_a_face_crop() -> None:
    luma = np.zeros((100, 100), np.float32)
    luma[67, 50] = 1  # where the lips of the template meet
    mouth = looks.mouth(luma)
    assert mouth.shape == (26, 36)
    assert mouth.sum() == 1


def crop(seed: int = 0) -> looks.Luma:
    noise = np.random.default_rng(seed).normal(120, 30, (96, 96)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))


def test_a_mouth_as_detailed_as_the_face_has_sharpness_one_and_a_smooth_one_less() -> None:
    face = crop()
    assert looks.sharpness_beside(face) == pytest.approx(1, abs=0.1)
    looks.mouth(face)[:] = cv2.GaussianBlur(looks.mouth(face), (0, 0), 2)
    assert looks.sharpness_beside(face) == pytest.approx(0.3, abs=0.15)
    assert looks.sharpness_beside(np.full((96, 96), 7, np.float32)) is None


def test_flicker_of_mouth_and_surroundings_are_told_apart() -> None:
    still = [crop()] * 6
    assert [series.tolist() for series in looks.flickers(still)] == [[0] * 4, [0] * 4]
    shaken = [image.copy() for image in still]
    for number, image in enumerate(shaken):
        looks.mouth(image)[:] += (-1) ** number
    mouth, around = looks.flickers(shaken)
    np.testing.assert_allclose(mouth, 4, rtol=1e-4)
    np.testing.assert_allclose(around, 0, atol=1e-3)
    assert [len(series) for series in looks.flickers(still[:2])] == [0, 0]
