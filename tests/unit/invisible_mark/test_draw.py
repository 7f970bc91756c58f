"""The invisible mark in a picture: few levels, in the skin around the mouth, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.align import Transforms
from lipserve.files.picture import Colour, Picture
from lipserve.invisible_mark.draw import LEVELS, InvisibleMark
from lipserve.lipwarp.geometry import mouth_transforms, soft_mask


def picture(width: int, height: int, deviation: float = 0.0) -> Picture:
    noise = np.random.default_rng(3).normal(120, deviation, (height, width))
    half = ((height + 1) // 2, (width + 1) // 2)
    chroma = (np.full(half, value, np.uint8) for value in (90, 170))
    return Picture(np.clip(noise, 0, 255).astype(np.uint8), *chroma, Colour())


def place(side: float, left: float, top: float) -> Transforms:
    """Return the mouth's place in a face whose crop has that side, and begins at a pixel."""
    return mouth_transforms(np.array([[[1, 0, -left], [0, 1, -top]]], np.float32) / np.float32(side))[0]


def drawn(shown: Picture, transform: Transforms, seconds: float, weight: float = 1.0) -> np.ndarray:
    before = [plane.copy() for plane in (shown.y, shown.u, shown.v)]
    mark = InvisibleMark.of("5a1f03c2")
    assert mark is not None
    mark.draw(shown, transform, seconds, weight)
    assert (shown.u == before[1]).all()
    assert (shown.v == before[2]).all()
    return np.asarray(shown.y.astype(int) - before[0])


@pytest.mark.parametrize("side", [60, 200, 700])
@pytest.mark.parametrize("deviation", [0.0, 6.0, 40.0])
def test_luma_changes_by_few_levels_under_the_mask_and_nowhere_else(side: float, deviation: float) -> None:
    transform = place(side, 30, 20)
    change = drawn(picture(801, 779, deviation), transform, 1.0)
    shown = cv2.warpAffine(soft_mask(), transform, (801, 779), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    assert (change[cv2.dilate(shown, np.ones((9, 9))) == 0] == 0).all()
    assert np.abs(change).max() <= LEVELS[1]
    carried = change[change != 0]
    assert len(carried) > 0.1 * (shown > 0).sum()
    assert np.abs(carried).mean() < (1.7 if deviation == 0 else 3.0)
    assert 10 * np.log10(255**2 / np.mean(change[shown > 0.1].astype(float) ** 2)) > 41  # PSNR, dB


def test_cells_keep_their_sign_for_a_chip_and_then_turn() -> None:
    transform = place(300, 0, 0)
    first, same, later = (drawn(picture(320, 320), transform, at) for at in (0.0, 0.08, 0.16))
    assert (first == same).all()
    turned = (np.sign(first) * np.sign(later) < 0).sum() / (first != 0).sum()
    assert 0.3 < turned < 0.7


def test_a_fading_mouth_carries_less_and_one_outside_nothing() -> None:
    transform = place(300, 0, 0)
    whole, faded, none = (drawn(picture(320, 320, 20.0), transform, 0.0, share) for share in (1.0, 0.5, 0.0))
    assert np.abs(faded).sum() < 0.7 * np.abs(whole).sum()
    assert (none == 0).all()
    assert (drawn(picture(320, 320), place(100, 900, 900), 0.0) == 0).all()


def test_no_number_is_no_mark() -> None:
    assert InvisibleMark.of(None) is None
