from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import align
from lipserve.media.picture import Colour, Picture
from lipserve.media.yuv import from_rgb, to_rgb

BT709 = Colour()


def textured(width: int, height: int, colour: Colour = BT709) -> Picture:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (height, width), np.uint8)
    y = cv2.GaussianBlur(noise, (0, 0), 4)
    half = ((width + 1) // 2, (height + 1) // 2)
    return Picture(np.asarray(y), cv2.resize(y, half) // 2 + 64, 192 - cv2.resize(y, half) // 2, colour)


def pasted(picture: Picture, *arguments: Any) -> Picture:
    """Return a copy of the picture with a face pasted in."""
    result = Picture(picture.y.copy(), picture.u.copy(), picture.v.copy(), picture.colour)
    align.paste(result, *arguments)
    return result


def face_at(angle: float, size: float, x: float, y: float) -> NDArray[np.float32]:
    """Return a mesh whose rigid points are the template, turned, scaled and moved; the rest is elsewhere."""
    linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mesh = np.random.default_rng(1).normal(0, 1000, (468, 2))
    mesh[list(align.RIGID_POINTS)] = align.TEMPLATE @ linear.T + [x, y]
    return mesh[None].astype(np.float32)


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


@pytest.mark.parametrize("colour", [Colour(), Colour("bt601", True, "smpte170m", "smpte170m")])
@pytest.mark.parametrize("size", [(200, 121), (333, 250)])
def test_a_paste_touches_only_its_region_and_brings_the_crop_back(
    colour: Colour, size: tuple[int, int]
) -> None:
    picture = textured(*size, colour)
    transform = align.scale(align.estimate(face_at(0.2, 90, 60, 10)), 96)[0]
    new = 255 - align.crop(picture, transform, 96)
    result = pasted(picture, new, transform)
    x0, y0, x1, y1 = align.region(transform, 96, *size)
    changed = result.y != picture.y
    assert changed[y0:y1, x0:x1].mean() > 0.3
    changed[y0:y1, x0:x1] = False
    assert not changed.any()
    assert np.abs(align.crop(result, transform, 96)[60:76, 36:60].astype(int) - new[60:76, 36:60]).mean() < 4


def test_identity_paste_is_nearly_invisible_and_weight_zero_is_exact() -> None:
    picture = textured(300, 300)
    transform = align.scale(align.estimate(face_at(0.1, 140, 80, 60)), 96)[0]
    crop = align.crop(picture, transform, 96)
    result = pasted(picture, crop, transform)
    error = (result.y.astype(float) - picture.y)[result.y != picture.y]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
    untouched = pasted(picture, 255 - crop, transform, 0.0)
    for plane, source in zip(
        (untouched.y, untouched.u, untouched.v), (picture.y, picture.u, picture.v), strict=True
    ):
        np.testing.assert_array_equal(plane, source)


def test_a_face_past_the_border_is_pasted_where_it_is_seen() -> None:
    picture = textured(160, 160)
    transform = align.scale(align.estimate(face_at(0, 120, -60, 90)), 96)[0]
    result = pasted(picture, np.full((96, 96, 3), 255, np.uint8), transform)
    assert (result.y[:80] == picture.y[:80]).all()
    assert (result.y != picture.y).any()
    gone = align.scale(align.estimate(face_at(0, 50, -500, 0)), 96)[0]
    np.testing.assert_array_equal(pasted(picture, np.zeros((96, 96, 3), np.uint8), gone).y, picture.y)


def test_the_mask_ends_inside_the_crop() -> None:
    mask = align.soft_mask(96)
    assert mask.max() == 1.0
    assert mask[64, 48] == 1.0  # where the lips meet
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0.0
    assert mask[:36].max() == 0.0  # eyes stay the source's own


@pytest.mark.parametrize("colour", [Colour(), Colour("bt601"), Colour("bt709", True)])
def test_rgb_and_back(colour: Colour) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    back = to_rgb(*from_rgb(rgb, colour), colour)
    assert np.abs(back.astype(int) - rgb).max() <= 2
    white = from_rgb(np.full((1, 1, 3), 255, np.uint8), colour)
    assert [int(p[0, 0]) for p in white] == [255 if colour.full_range else 235, 128, 128]
