from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from lipserve import align
from lipserve.files.picture import Colour
from lipserve.media.yuv import from_rgb, to_rgb
from tests.support.pictures import face_at, textured


@pytest.mark.parametrize(("angle", "size"), [(0.0, 200.0), (0.5, 80.0), (-1.2, 700.0), (3.0, 33.0)])
def test_estimate_finds_the_similarity_that_was_applied(angle: float, size: float) -> None:
    transform = align.estimate(face_at(angle, size, 321.0, 123.0))[0]
    corner = size * np.array([np.cos(angle), np.sin(angle)]) + [321.0, 123.0]
    np.testing.assert_allclose(transform[:, :2] @ [321.0, 123.0] + transform[:, 2], [0, 0], atol=1e-3)
    np.testing.assert_allclose(transform[:, :2] @ corner + transform[:, 2], [1, 0], atol=1e-3)


def test_smoothing_keeps_a_steady_motion_and_halves_jitter() -> None:
    steps = np.arange(40)
    steady = np.concatenate([align.estimate(face_at(0.01 * i, 100 + i, 50 + 3 * i, 80.0)) for i in steps])
    runs = np.zeros(40, np.int64)
    smooth = align.smooth(steady, runs)
    inner = slice(align.SMOOTHING_RADIUS, -align.SMOOTHING_RADIUS)
    middle = np.array([100.0, 100.0, 1.0])
    assert np.abs((smooth @ middle - steady @ middle)[inner]).max() < 2e-3  # of the crop's side
    rng = np.random.default_rng(3)
    jitter = rng.normal(0, 0.1, (40, 2))  # pixels, of a crop of 100
    noisy = np.concatenate([align.estimate(face_at(0, 100, 50 + x, 80 + y)) for x, y in jitter])
    before, after = (np.diff(t[:, 0, 2], 2).std() for t in (noisy, align.smooth(noisy, runs)))
    assert after < 0.25 * before


def test_smoothing_follows_a_sudden_motion() -> None:
    places = [50.0] * 20 + [90.0] * 20  # a jump of 40 % of the face
    jump = np.concatenate([align.estimate(face_at(0, 100, x, 80)) for x in places])
    smooth = align.smooth(jump, np.zeros(40, np.int64))
    assert np.abs(smooth[:, 0, 2] - jump[:, 0, 2]).max() < 0.01


def test_smoothing_does_not_look_across_a_cut() -> None:
    here = np.repeat(align.estimate(face_at(0, 100, 50, 80)), 5, 0)
    there = np.repeat(align.estimate(face_at(0, 300, 400, 10)), 5, 0)
    both = np.concatenate([here, there])
    smooth = align.smooth(both, np.repeat([0, 1], 5))
    np.testing.assert_allclose(smooth, both, atol=2e-4)


def test_scale_counts_from_pixel_centres_and_makes_pixels_square() -> None:
    unit = np.array([[[0.01, 0, -1.0], [0, 0.01, -2.0]]], np.float32)  # a 100 px square at 100, 200
    crop = align.scale(unit, 100)[0]
    np.testing.assert_allclose(crop @ [100.5, 200.5, 1], [0.0, 0.0], atol=1e-4)
    wide = align.scale(unit, 100, Fraction(2))[0]  # 50 source pixels are 100 square ones
    np.testing.assert_allclose(wide @ [50.25, 200.5, 1], [0.0, 0.0], atol=1e-4)


def test_a_crop_reads_the_pixels_it_names() -> None:
    picture = textured(200, 120)
    at = np.array([[1, 0, -40.0], [0, 1, -20.0]], np.float32)
    crop = align.crop(picture, at, 64)
    u, v = (cv2.resize(p, (200, 120), interpolation=cv2.INTER_LINEAR) for p in (picture.u, picture.v))
    whole = to_rgb(picture.y, np.asarray(u), np.asarray(v), picture.colour)
    assert np.abs(crop.astype(int) - whole[20:84, 40:104]).mean() < 1.0


@pytest.mark.parametrize("colour", [Colour(), Colour("bt601"), Colour("bt709", True)])
def test_rgb_and_back(colour: Colour) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    back = to_rgb(*from_rgb(rgb, colour), colour)
    assert np.abs(back.astype(int) - rgb).max() <= 2
    white = from_rgb(np.full((1, 1, 3), 255, np.uint8), colour)
    assert [int(p[0, 0]) for p in white] == [255 if colour.full_range else 235, 128, 128]
