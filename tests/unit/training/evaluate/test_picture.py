from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lipserve.wav2lip import geometry
from lipserve_training import losses
from lipserve_training.evaluate import picture
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.generate import pasted

SIDE = 128
MASK = geometry.soft_mask(SIDE)


def face(seed: int = 0, blur: float = 1.5) -> picture.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), blur).astype(np.float64)
    return (80 + soft * 0.4).astype(np.uint8)


def test_a_perfect_picture_has_no_fault() -> None:
    truth = face()
    best = picture.quality([(truth, truth)] * 2)
    assert best.psnr > 100
    assert best.ssim == pytest.approx(1, abs=1e-5)
    assert (best.l1, best.border_step) == (0, 0)


def test_an_even_error_gives_its_psnr_and_l1() -> None:
    truth = face()
    off = picture.quality([(truth + 8, truth)])
    assert off.l1 == pytest.approx(8, abs=1e-4)
    assert off.psnr == pytest.approx(20 * np.log10(255 / 8), abs=1e-3)


def test_what_the_mask_leaves_alone_does_not_count() -> None:
    truth = face()
    shown = np.where((MASK > 0)[..., None], truth, 0).astype(np.uint8)
    assert picture.quality([(shown, truth)]).l1 == 0


def test_the_squared_error_is_averaged_over_the_clip_not_the_decibels() -> None:
    truth = face()
    mixed = picture.quality([(truth + 10, truth), (truth, truth)])
    assert mixed.psnr == pytest.approx(10 * np.log10(255**2 / 50), abs=1e-3)


def test_ssim_is_that_of_the_whole_crop_under_the_mask() -> None:
    truth, shown = face(), face(1)
    pair = (
        torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None] for image in (shown, truth)
    )
    whole = losses.ssim(*pair).mean(1)[0].numpy()
    expected = float((whole * MASK).sum() / MASK.sum())
    assert picture.quality([(shown, truth)]).ssim == pytest.approx(expected, abs=1e-5)
    assert expected < 0.7


def test_blur_takes_sharpness_away() -> None:
    truth = face()
    blurred = np.asarray(cv2.GaussianBlur(truth, (0, 0), 1.5), np.uint8)
    sharp, soft = (picture.quality([(image, truth)]).sharpness for image in (truth, blurred))
    assert soft < 0.4 * sharp


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    luma = np.zeros((5, 5), np.float32)
    luma[2, 2] = 10
    around = [0, 10, 0, 10, -40, 10, 0, 10, 0]
    inside = np.zeros((5, 5), bool)
    inside[1:4, 1:4] = True
    assert picture.sharpness(luma, inside) == pytest.approx(np.var(around), rel=1e-5)


def test_a_box_of_another_brightness_is_a_border_step() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32)
    assert picture.border_excess(truth + 6 * MASK, truth) == pytest.approx(6, abs=0.01)
    assert picture.border_excess(truth - 6 * MASK, truth) == pytest.approx(6, abs=0.01)


def test_a_step_that_the_source_has_too_does_not_count() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32) + 20 * MASK
    assert picture.border_excess(truth, truth) == 0
    assert picture.border_excess(truth - 5 * MASK, truth) == 0  # a smaller step than the source's own
    assert picture.border_excess(truth + 5 * MASK, truth) == pytest.approx(5, abs=0.01)


def test_steps_of_opposite_sectors_do_not_cancel() -> None:
    truth = np.full((SIDE, SIDE), 100, np.float32)
    sides = np.where(np.arange(SIDE) < SIDE // 2, 8, -8)
    assert picture.border_excess(truth + sides * MASK, truth) == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("side", [32, 97, 512])
def test_every_sector_has_pixels_on_both_sides(side: int) -> None:
    mask = geometry.soft_mask(side)
    steps = picture.border_excess(100 + 4 * mask, np.full((side, side), 100, np.float32))
    assert steps == pytest.approx(4, abs=0.01)


def test_the_true_crops_pasted_back_are_nearly_the_truth(clip: Clip) -> None:
    side = picture.side_of(clip)
    assert side == 120
    shown = picture.crops(clip, pasted(clip, clip.faces(), range(len(clip))), side)
    best = picture.quality(zip(shown, picture.crops(clip, clip.pictures, side), strict=True))
    assert best.psnr > 30
    assert best.ssim > 0.95
    assert best.border_step < 0.5
