from __future__ import annotations

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
