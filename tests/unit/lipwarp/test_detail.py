"""Detail of moved pixels: it is given back where interpolation took it, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.lipwarp.detail import returned


def texture(size: tuple[int, int], deviation: float) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 255, size).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), deviation), np.uint8)


def detail(luma: np.ndarray) -> float:
    return float(cv2.Laplacian(luma.astype(np.float32), cv2.CV_32F, ksize=1)[20:-20, 20:-20].std())


def moved(luma: np.ndarray, by: float) -> np.ndarray:
    step = np.array([[1, 0, by], [0, 1, by]])
    height, width = luma.shape
    return np.asarray(cv2.warpAffine(luma, step, (width, height), flags=cv2.INTER_CUBIC), np.uint8)


def test_a_sharp_picture_that_was_moved_by_half_a_pixel_is_nearly_as_sharp_again() -> None:
    before = texture((120, 140), 0.7)
    soft = moved(before, 0.5)
    sharp = returned(soft, before)
    assert detail(soft) < 0.85 * detail(before)
    assert 0.85 * detail(before) < detail(sharp) < 1.05 * detail(before)
    true = moved(texture((120, 140), 0.7), 0.0).astype(float)
    assert np.abs(moved(sharp, -0.5).astype(float) - true)[20:-20, 20:-20].mean() < 8


@pytest.mark.parametrize("deviation", [2.0, 4.0])
def test_a_soft_picture_loses_nothing_and_stays_to_the_bit(deviation: float) -> None:
    before = texture((120, 140), deviation)
    soft = moved(before, 0.5)
    assert (returned(soft, before) == soft).all()


def test_what_is_sharper_than_before_stays_to_the_bit() -> None:
    sharp, before = texture((90, 90), 0.7), texture((90, 90), 1.5)
    assert (returned(sharp, before) == sharp).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (40, 3)])
@pytest.mark.parametrize("level", [0, 255])
def test_small_and_even_planes_stay_as_they_are(size: tuple[int, int], level: int) -> None:
    plane = np.full(size, level, np.uint8)
    assert (returned(plane, plane) == plane).all()
    assert (returned(plane, texture((64, 64), 0.7)[: size[0], : size[1]]) == plane).all()


def test_no_more_than_half_of_the_detail_is_added() -> None:
    before, soft = texture((120, 140), 0.5), texture((120, 140), 1.2)
    smooth = cv2.GaussianBlur(soft, (3, 3), 0.8).astype(float)
    most = soft + 0.5 * (soft - smooth)
    np.testing.assert_allclose(returned(soft, before), np.clip(np.rint(most), 0, 255), atol=1)
