"""The wanted mouth in the picture's own samples: what moves, by how much, and what stays to the bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import align
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE, PAINT_SIZE
from lipserve.files.picture import Colour, Picture
from lipserve.lipwarp.compose import Motion, Patch, move
from lipserve.lipwarp.geometry import soft_mask
from lipserve.lipwarp.source import remember
from lipserve.media.yuv import from_rgb, to_rgb
from tests.support.pictures import BT709, textured
from tests.unit.lipwarp.people import crop_transform, points_in_crop

STUDIO = Colour("bt601", False, "smpte170m", "smpte170m")
FULL = Colour("bt601", True, "smpte170m", "smpte170m")
NONE = np.zeros(3, np.float32)


def smooth(side: int, colour: Colour = BT709) -> Picture:
    """Return a picture of long waves, so that a shift by a part of a pixel can be told."""
    y, x = np.mgrid[:side, :side] / side * 2 * np.pi
    luma = 120 + 50 * np.sin(5 * x + 1) + 40 * np.cos(6 * y)
    y2, x2 = np.mgrid[: side // 2, : side // 2] / (side // 2) * 2 * np.pi
    u, v = 128 + 60 * np.sin(4 * x2 - y2), 128 + 60 * np.cos(4 * y2 + x2)
    rounded = (np.round(plane).astype(np.uint8) for plane in (luma, u, v))
    return Picture(*rounded, colour)


def copy(picture: Picture) -> Picture:
    return Picture(picture.y.copy(), picture.u.copy(), picture.v.copy(), picture.colour)


def planes(picture: Picture) -> list[NDArray[np.float64]]:
    return [plane.astype(np.float64) for plane in (picture.y, picture.u, picture.v)]


def whole(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.vstack([matrix, [0, 0, 1]])


def patch(picture: Picture, transform: align.Transforms) -> Patch:
    return remember(picture, transform, points_in_crop(), np.zeros(8)).patch


def motion(
    first: Patch,
    second: Patch | None = None,
    flow: Any = 0.0,
    blend: tuple[int, int] = (0, 0),
    paint: tuple[int, int, int] = (0, 0, 0),
    shares: tuple[float, float] = (1.0, 0.0),
    offset: NDArray[np.float32] = NONE,
) -> Motion:
    """Return a motion that is the same everywhere; `flow` is the current picture's [2], or all [3, 2]."""
    moved = np.zeros((3, 2), np.float32)
    moved[:] = flow if np.ndim(flow) == 2 else [flow * np.ones(2), [0, 0], [0, 0]]
    return Motion(
        flow=np.broadcast_to(moved[:, None, None], (3, FLOW_SIZE, FLOW_SIZE, 2)).astype(np.float32),
        blend=np.tile(np.uint8(blend), (MOUTH_SIZE, MOUTH_SIZE, 1)),
        paint=np.tile(np.uint8(paint), (PAINT_SIZE, PAINT_SIZE, 1)),
        patches=(first, second or first),
        shares=np.float32(shares),
        offset=offset,
    )


def masks(picture: Picture, transform: align.Transforms) -> list[NDArray[np.float32]]:
    """Return the mask's share at each sample of the three planes."""
    steps = (transform, align.subsampled(transform), align.subsampled(transform))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return [
        np.asarray(cv2.warpAffine(soft_mask(), step, plane.shape[::-1], flags=flags))
        for step, plane in zip(steps, (picture.y, picture.u, picture.v), strict=True)
    ]


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2])
@pytest.mark.parametrize("side", [70.0, 340.0, 611.3])
def test_a_mouth_that_is_not_moved_keeps_every_sample(side: float, angle: float) -> None:
    picture, transform = textured(640, 640), crop_transform(side, angle, (320 - side / 3, 240 - side / 3))
    result = copy(picture)
    move(result, motion(patch(picture, transform)), transform)
    for got, source in zip(planes(result), planes(picture), strict=True):
        np.testing.assert_array_equal(got, source)


def test_towards_the_masks_border_a_mouth_moves_less_and_is_not_seen_twice() -> None:
    """On a ramp a level tells the place that it comes from; a mix of two places would be a smaller step."""
    transform = crop_transform(300.0, 0.0, (40.0, 20.0))
    ramp = np.repeat((np.arange(360) // 2).astype(np.uint8)[:, None], 360, 1)
    half = np.full((180, 180), 128, np.uint8)
    picture = Picture(ramp, half, half.copy(), BT709)
    result = copy(picture)
    down = np.float32([0.0, 8.0])  # pixels of the mouth crop
    move(result, motion(patch(picture, transform), flow=np.stack([down, NONE[:2], NONE[:2]])), transform)
    share = masks(picture, transform)[0]
    way = 8 / transform[1, 1] / 2 * np.minimum(2 * share, 1)  # levels
    moved = result.y.astype(float) - picture.y
    for low, high in ((0.3, 0.4), (0.6, 0.95)):
        part = (share > low) & (share < high)
        assert part.sum() > 1000
        np.testing.assert_allclose(moved[part], way[part], atol=1.2)
    assert way.max() > 8


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_outside_of_the_mask_every_sample_stays_whatever_moves(angle: float) -> None:
    picture, transform = textured(640, 480), crop_transform(300.0, angle, (150.0, 60.0))
    result = copy(picture)
    told = motion(
        patch(picture, transform),
        flow=np.float32([[9, -7], [5, 5], [-8, 3]]),
        blend=(140, 90),
        paint=(250, 0, 90),
    )
    move(result, told, transform)
    for got, source, mask in zip(planes(result), planes(picture), masks(picture, transform), strict=True):
        np.testing.assert_array_equal(got[mask == 0], source[mask == 0])
        assert (got[mask > 0.9] != source[mask > 0.9]).mean() > 0.5


def test_a_share_where_there_is_no_mask_changes_nothing() -> None:
    """A network says what it likes there."""
    picture, transform = textured(640, 640), crop_transform(angle=0.2)
    told = motion(patch(smooth(640), transform), blend=(255, 0), paint=(255, 255, 255))
    told.blend[soft_mask() > 0] = 0
    result = copy(picture)
    move(result, told, transform)
    for got, source in zip(planes(result), planes(picture), strict=True):
        np.testing.assert_array_equal(got, source)


def test_invisible_shares_are_left_out() -> None:
    """What is shown of the paint ends with the part of the picture that has any share to be seen."""
    picture, transform = textured(640, 640), crop_transform()
    told = motion(patch(picture, transform), blend=(0, 2), paint=(255, 255, 255))
    result = copy(picture)
    move(result, told, transform)
    np.testing.assert_array_equal(result.y, picture.y)
    told.blend[40:50, 40:50] = 255
    move(result, told, transform)
    changed = np.argwhere(result.y != picture.y)
    back = align.invert(transform[None])[0]
    low, high = (back[:, :2] @ [edge, edge] + back[:, 2] for edge in (38, 51))
    assert (changed[:, ::-1] >= np.floor(low)).all()
    assert (changed[:, ::-1] <= np.ceil(high)).all()


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.5])
@pytest.mark.parametrize("side", [131.0, 524.0])  # a crop of about a pixel's density, and of four times that
def test_a_flow_moves_the_picture_by_its_pixels_of_the_crop(side: float, angle: float) -> None:
    picture, shift = smooth(960), np.array([3.2, -1.7])
    middle = side * 0.7 * np.array([np.cos(angle + np.pi / 4), np.sin(angle + np.pi / 4)])
    transform = crop_transform(side, angle, (480 - middle[0], 480 - middle[1]))
    result = copy(picture)
    move(result, motion(patch(picture, transform), flow=shift), transform)
    there = align.invert(transform[None])[0][:, :2] @ shift  # pixels of the picture
    for number, (got, source, mask) in enumerate(
        zip(planes(result), planes(picture), masks(picture, transform), strict=True)
    ):
        step = there / (2 if number else 1)
        back = np.array([[1, 0, step[0]], [0, 1, step[1]]])
        flags = (cv2.INTER_LINEAR if number else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(source.astype(np.float32), back, source.shape[::-1], flags=flags)
        core = mask > 0.9999
        assert core.sum() > 200
        assert np.abs(got - expected)[core].max() < 2.5
        assert np.abs(got - expected)[core].mean() < (0.5 if number else 0.4)  # at a 32nd of a sample
        assert np.abs(got - source)[core].mean() > 0.7  # it moved


@pytest.mark.parametrize("blend", [(255, 0), (128, 0)])
def test_a_remembered_mouth_comes_in_its_own_samples(blend: tuple[int, int]) -> None:
    """From the same place of another picture: where its share is whole, to the bit."""
    picture, other, transform = textured(640, 640), smooth(640), crop_transform(angle=0.2)
    result = copy(picture)
    move(result, motion(patch(other, transform), blend=blend), transform)
    share = blend[0] / 255
    for got, source, wanted, mask in zip(
        planes(result), planes(picture), planes(other), masks(picture, transform), strict=True
    ):
        core = mask > 0.9999
        expected = source + share * (wanted - source)
        assert np.abs(got[core] - expected[core]).max() <= (0 if share == 1 else 0.51)


def test_two_remembered_mouths_are_mixed_by_their_shares() -> None:
    picture, transform = textured(640, 640), crop_transform()
    first, second = (
        patch(
            Picture(*(np.full_like(plane, level) for plane in (picture.y, picture.u, picture.v)), BT709),
            transform,
        )
        for level in (60, 180)
    )
    result = copy(picture)
    move(result, motion(first, second, blend=(255, 0), shares=(0.25, 0.75)), transform)
    for got, mask in zip(planes(result), masks(picture, transform), strict=True):
        np.testing.assert_array_equal(got[mask > 0.9999], 150)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0)])
def test_a_memory_of_another_size_and_place_fills_the_same_mouth(shares: tuple[float, float]) -> None:
    """The face, seen at half the size and turned: what is pasted is softer, and in its place."""
    transform, small = crop_transform(), crop_transform(170.0, 0.6, (300.0, 40.0))
    wanted = smooth(640)
    to_small = whole(align.invert(small[None])[0]) @ whole(transform)
    to_chroma = whole(align.to_chroma(np.eye(2, 3, dtype=np.float32)))
    chroma = to_chroma @ to_small @ np.linalg.inv(to_chroma)
    seen = [
        np.asarray(cv2.warpAffine(plane, matrix[:2], plane.shape[::-1], flags=cv2.INTER_LINEAR))
        for plane, matrix in zip((wanted.y, wanted.u, wanted.v), (to_small, chroma, chroma), strict=True)
    ]
    other = patch(Picture(*seen, BT709), small)
    result = textured(640, 640)
    move(result, motion(other, other, blend=(255, 0), shares=shares), transform)
    for got, expected, mask in zip(planes(result), planes(wanted), masks(wanted, transform), strict=True):
        assert np.abs(got - expected)[mask > 0.9999].mean() < 1.5


def test_paint_lies_over_everything() -> None:
    picture, transform = textured(640, 640), crop_transform()
    result = copy(picture)
    move(result, motion(patch(picture, transform), blend=(255, 255), paint=(200, 90, 40)), transform)
    wanted = from_rgb(np.float32([[[200, 90, 40]]]), picture.colour)
    for got, level, mask in zip(planes(result), wanted, masks(picture, transform), strict=True):
        np.testing.assert_array_equal(got[mask > 0.9999], np.rint(level[0, 0]))


@pytest.mark.parametrize("colour", [BT709, STUDIO, FULL])
def test_an_offset_adds_levels_of_the_sources_own_colour(colour: Colour) -> None:
    picture, transform = textured(640, 640, colour), crop_transform()
    levels = (np.full((640, 640), 100, np.uint8), *(np.full((320, 320), 128, np.uint8),) * 2)
    grey, result, offset = Picture(*levels, colour), copy(picture), np.float32([20, -10, 5])
    move(result, motion(patch(grey, transform), blend=(255, 0), offset=offset), transform)
    rgb = []
    for made in (grey, result):
        core = [
            plane[mask > 0.9999] for plane, mask in zip(planes(made), masks(made, transform), strict=True)
        ]
        assert all(len(np.unique(samples)) == 1 for samples in core)
        rgb.append(to_rgb(*(np.full((1, 1), samples[0], np.uint8) for samples in core), colour)[0, 0])
    np.testing.assert_allclose(rgb[1].astype(int) - rgb[0], offset, atol=1.5)


def test_black_and_white_stays_so() -> None:
    """Chroma of the picture and of its memories is 128: no flow, share or grey paint gives it a tint."""
    source = textured(640, 640)
    picture = Picture(source.y, np.full_like(source.u, 128), np.full_like(source.v, 128), BT709)
    transform, result = crop_transform(angle=-0.3), copy(picture)
    told = motion(
        patch(picture, transform),
        flow=np.float32([[4, 2], [1, 1], [0, 3]]),
        blend=(150, 120),
        paint=(90, 90, 90),
    )
    move(result, told, transform)
    for plane in (result.u, result.v):
        assert np.abs(plane.astype(int) - 128).max() <= 1
    assert (result.y != picture.y).any()


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.75])
def test_a_weight_fades_the_whole_mouth(weight: float) -> None:
    picture, transform = textured(640, 640), crop_transform()
    told = motion(patch(smooth(640), transform), blend=(255, 0))
    whole, faded = copy(picture), copy(picture)
    move(whole, told, transform)
    move(faded, told, transform, weight)
    for got, full, source in zip(planes(faded), planes(whole), planes(picture), strict=True):
        assert np.abs(got - (source + weight * (full - source))).max() <= 1.01


@pytest.mark.parametrize("corner", [(-150.0, -120.0), (470.0, 380.0), (-5000.0, 100.0), (100.0, 90_000.0)])
def test_a_mouth_at_the_edge_or_beyond_is_no_error(corner: tuple[float, float]) -> None:
    picture, transform = textured(641, 479), crop_transform(340.0, 0.1, corner)
    result = copy(picture)
    told = motion(patch(picture, transform), flow=np.float32([[300, 0], [0, -300], [9, 9]]), blend=(200, 30))
    move(result, told, transform)
    inside = [mask.any() for mask in masks(picture, transform)]
    changed = [(got != source).any() for got, source in zip(planes(result), planes(picture), strict=True)]
    assert changed == inside


@pytest.mark.parametrize("far", [65_504.0, -65_504.0])
def test_the_farthest_flow_shows_the_border(far: float) -> None:
    """Half precision reaches so far; what lies beyond a picture is its border's nearest sample."""
    picture, transform = textured(640, 640), crop_transform()
    result = copy(picture)
    move(result, motion(patch(picture, transform), flow=np.float32([far, far])), transform)
    corner = -1 if far > 0 else 0
    core = masks(picture, transform)[0] > 0.9999
    assert (result.y[core] == picture.y[corner, corner]).all()


def test_planes_with_padded_rows_are_moved_as_any_other() -> None:
    """A decoder's and an encoder's rows are longer than the picture."""
    picture, transform = textured(640, 640), crop_transform()
    told = motion(patch(picture, transform), flow=np.float32([2.5, 1.5]), blend=(80, 40), paint=(90, 60, 50))
    plain = copy(picture)
    longer = (np.pad(plane, ((0, 0), (0, 64)))[:, :-64] for plane in (picture.y, picture.u, picture.v))
    padded = Picture(*longer, BT709)
    for made in (plain, padded):
        move(made, told, transform)
    for got, expected in zip(planes(padded), planes(plain), strict=True):
        np.testing.assert_array_equal(got, expected)
