from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lipserve import align
from lipserve.files.picture import Picture
from lipserve.lipwarp.geometry import soft_mask as mouth_mask
from lipserve.quality import looks
from lipserve.wav2lip import geometry
from lipserve_training.evaluate import picture
from lipserve_training.evaluate.clips import Clip

SIDE = 128
MASK = geometry.soft_mask(SIDE)
BORDER = picture.Border(MASK)


def face(seed: int = 0, blur: float = 1.5) -> picture.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), blur).astype(np.float64)
    return (80 + soft * 0.4).astype(np.uint8)


def test_an_even_error_gives_its_psnr() -> None:
    truth = face()
    error = picture.squared_error(truth + 8, truth, MASK)
    assert error == pytest.approx(64, rel=1e-4)
    assert picture.psnr([error]) == pytest.approx(20 * np.log10(255 / 8), abs=1e-3)
    assert picture.psnr([picture.squared_error(truth, truth, MASK)]) > 100


def test_pixels_outside_of_the_mask_do_not_count() -> None:
    truth = face()
    shown = np.where((MASK > 0)[..., None], truth, 0).astype(np.uint8)
    assert picture.squared_error(shown, truth, MASK) == 0


def test_the_squared_error_is_averaged_over_the_clip_not_the_decibels() -> None:
    assert picture.psnr([100, 0]) == pytest.approx(10 * np.log10(255**2 / 50), abs=1e-3)


def test_blur_takes_sharpness_away() -> None:
    truth = picture.luma(face())
    blurred = np.asarray(cv2.GaussianBlur(truth, (0, 0), 1.5))
    assert looks.sharpness(blurred, MASK) < 0.4 * looks.sharpness(truth, MASK)


def test_luma_weighs_red_green_and_blue() -> None:
    colours = np.array([[[100, 0, 0], [0, 100, 0], [0, 0, 100]]], np.uint8)
    np.testing.assert_allclose(picture.luma(colours), [[29.9, 58.7, 11.4]], rtol=1e-5)


def test_chroma_is_the_mean_under_the_mask(clip: Clip) -> None:
    source, place = clip.pictures[3], clip.placed(SIDE)[3]
    own = picture.chroma(source, place, MASK)
    tinted = Picture(source.y, source.u + 5, source.v - 3, source.colour)
    np.testing.assert_allclose(picture.chroma(tinted, place, MASK) - own, [5, -3], atol=0.02)
    # A tint where the crop, and so the mask, does not reach, changes nothing.
    u = source.u.copy()
    u[:20] = 255
    np.testing.assert_array_equal(
        picture.chroma(Picture(source.y, u, source.v, source.colour), place, MASK), own
    )


def test_a_box_of_another_brightness_is_a_border_step() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32)
    assert BORDER.excess(truth + 6 * MASK, truth) == pytest.approx(6, abs=0.01)
    assert BORDER.excess(truth - 6 * MASK, truth) == pytest.approx(6, abs=0.01)


def test_a_step_that_the_source_has_too_does_not_count() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32) + 20 * MASK
    assert BORDER.excess(truth, truth) == 0
    assert BORDER.excess(truth - 5 * MASK, truth) == 0  # a smaller step than the source's own
    assert BORDER.excess(truth + 5 * MASK, truth) == pytest.approx(5, abs=0.01)


def test_a_step_counts_beyond_all_natural_pictures() -> None:
    flat = np.full((SIDE, SIDE), 100, np.float32)
    shown, chin = flat + 6 * MASK, flat - 4 * MASK
    assert BORDER.excess(shown, flat, chin) == pytest.approx(2, abs=0.01)
    assert BORDER.excess(shown, chin, flat) == pytest.approx(2, abs=0.01)
    assert BORDER.excess(shown, flat, shown) == 0


def test_pixels_of_a_mask_beyond_the_crop_are_not_asked_for() -> None:
    shifted = np.zeros_like(MASK)
    shifted[:100] = MASK[28:]  # the lower part of the feather is still there ...
    shifted[:30] = shifted[30]  # ... and above the mask goes on over the crop's border
    flat = np.full((SIDE, SIDE), 100, np.float32)
    assert picture.Border(shifted).excess(flat + 6 * shifted, flat) == pytest.approx(6, abs=0.05)


def test_steps_of_opposite_sectors_do_not_cancel() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32)
    sides = np.where(np.arange(SIDE) < SIDE // 2, 8, -8)
    assert BORDER.excess(truth + sides * MASK, truth) == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("side", [32, 97, 512])
@pytest.mark.parametrize("shape", [geometry.soft_mask, mouth_mask])
def test_every_sector_has_pixels_on_both_sides(side: int, shape: Callable[[int], np.ndarray]) -> None:
    mask = shape(side)
    flat = np.full((side, side), 100, np.float32)
    assert picture.Border(mask).excess(flat + 4 * mask, flat) == pytest.approx(4, abs=0.01)


def test_crops_are_cut_where_the_face_of_their_frame_is(clip: Clip) -> None:
    side = picture.side_of(clip)
    assert side == 120
    order = np.array([5, 2])
    shown = list(picture.crops(clip, [clip.pictures[5], clip.pictures[2]], order, side))
    for frame, found in zip(order, shown, strict=True):
        np.testing.assert_array_equal(found, align.crop(clip.pictures[frame], clip.placed(side)[frame], side))
    # The painted face moves with its landmarks, so its crops are alike.
    assert np.abs(shown[0].astype(int) - shown[1])[20:-20, 20:-20].mean() < 3
