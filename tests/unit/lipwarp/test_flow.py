"""Points to flows, flows to pictures, contours to masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.lipwarp.flow import (
    LIPS_REACH,
    REACH,
    STILL,
    _gaussian,
    lip_masks,
    point_flow,
    restored,
    stored,
    warped,
)
from lipserve.lipwarp.points import INNER, LIPS, OUTER
from tests.unit.lipwarp.people import points_in_crop

SHIFT = np.array([3.0, -2.0], np.float32)
CENTRES = (np.arange(FLOW_SIZE) + 0.5) * 2 - 0.5


def picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (MOUTH_SIZE, MOUTH_SIZE, 3), np.uint8)


def test_points_that_do_not_move_move_nothing() -> None:
    points = points_in_crop((0.4,))
    assert not point_flow(points, points[None]).any()


def spread(at: np.ndarray, points: np.ndarray, moved: np.ndarray, reach: float) -> np.ndarray:
    """Return how far a place [2] is moved by a normalised sum of Gaussians around points [P, 2]."""
    weights = np.exp(-0.5 * ((points - at) ** 2).sum(1) / reach**2)
    return np.asarray(weights @ moved / (weights.sum() + STILL))


def test_a_flow_is_what_all_points_spread_and_then_what_that_leaves_to_the_lips() -> None:
    """Written as it is told, cell by cell."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 95, (60, 2)).astype(np.float32)
    sources = rng.uniform(0, 95, (3, 60, 2)).astype(np.float32)
    flow = point_flow(points, sources)
    assert (flow.shape, flow.dtype) == ((3, FLOW_SIZE, FLOW_SIZE, 2), np.float32)
    for source, row, column in ((0, 0, 0), (2, 10, 31), (1, 47, 20)):
        moved = sources[source] - points
        lips = points[LIPS]
        left = np.array(
            [move - spread(lip, points, moved, REACH) for lip, move in zip(lips, moved[LIPS], strict=True)]
        )
        cell = np.array([CENTRES[column], CENTRES[row]])
        expected = spread(cell, points, moved, REACH) + spread(cell, lips, left, LIPS_REACH)
        np.testing.assert_allclose(flow[source, row, column], expected, atol=2e-3)


@pytest.mark.parametrize("reach", [REACH, LIPS_REACH])
def test_no_weight_is_so_small_that_a_product_of_two_is_subnormal(reach: float) -> None:
    """With subnormal numbers a flow took four times as long."""
    weights = _gaussian(np.square(np.linspace(0, 200, 2001, dtype=np.float32)), reach)
    least = float(weights.min())
    assert float(np.finfo(np.float32).tiny) < 1e-10 * least**2  # that a point moves by so little
    assert least < 1e-9 * STILL


def test_the_lips_of_a_mouth_that_opens_land_where_they_are_wanted() -> None:
    """Points that lie close together, of which some move and others do not."""
    closed, opened = points_in_crop(), points_in_crop((0.9,))
    flow = point_flow(opened, closed[None])[0]
    x, y = opened[LIPS].T
    taken = cv2.remap(cv2.resize(flow, (MOUTH_SIZE, MOUTH_SIZE)), x, y, cv2.INTER_LINEAR)[:, 0]
    moved = (closed - opened)[LIPS]
    smooth = np.array([spread(lip, opened, closed - opened, REACH) for lip in opened[LIPS]])
    missed, without = (np.linalg.norm(found - moved, axis=1) for found in (taken, smooth))
    assert missed.max() < 1 < 5 < without.max() < np.linalg.norm(moved, axis=1).max()  # pixels


def test_points_that_move_together_carry_what_lies_near_them_along() -> None:
    wanted = points_in_crop()
    flow = point_flow(wanted, wanted[None] + SHIFT)[0]
    lips = wanted[OUTER].mean(0)
    row, column = (round(float(lips[axis] + 0.5) / 2 - 0.5) for axis in (1, 0))
    np.testing.assert_allclose(flow[row, column], SHIFT, rtol=0.01)
    share = np.linalg.norm(flow, axis=-1) / np.linalg.norm(SHIFT)
    assert share.max() < 1.001
    np.testing.assert_allclose(flow[..., 0] * SHIFT[1], flow[..., 1] * SHIFT[0], atol=1e-5)  # along it alone


def test_pixels_far_from_every_point_stay() -> None:
    wanted = np.full((133, 2), 90.0, np.float32)
    assert np.abs(point_flow(wanted, wanted[None] + SHIFT)[0, :12, :12]).max() < 1e-6


def test_sources_have_no_say_in_each_others_flow() -> None:
    rng = np.random.default_rng(1)
    wanted, sources = rng.uniform(0, 95, (133, 2)), rng.uniform(0, 95, (3, 133, 2))
    together = point_flow(wanted.astype(np.float32), sources.astype(np.float32))
    for flow, source in zip(together, sources.astype(np.float32), strict=True):
        np.testing.assert_allclose(flow, point_flow(wanted.astype(np.float32), source[None])[0], atol=1e-4)


def test_flows_are_stored_in_half_precision_to_the_nearest() -> None:
    flow = np.random.default_rng(4).normal(0, 20, (3, FLOW_SIZE, FLOW_SIZE, 2)).astype(np.float32)
    flow[0, 0, :4, 0] = 7e4, -7e4, 1e-7, 0  # beyond, and almost nothing
    with np.errstate(over="ignore"):
        expected = flow.astype(np.float16)
    np.testing.assert_array_equal(stored(flow), expected)
    np.testing.assert_array_equal(restored(expected), expected.astype(np.float32))


def test_no_flow_leaves_a_picture_as_it_is() -> None:
    still = np.zeros((FLOW_SIZE, FLOW_SIZE, 2), np.float32)
    np.testing.assert_array_equal(warped(picture(), still), picture())


def test_a_flow_of_whole_pixels_shifts_the_picture_and_holds_its_border() -> None:
    flow = np.tile(SHIFT, (FLOW_SIZE, FLOW_SIZE, 1))
    moved, image = warped(picture(), flow), picture()
    np.testing.assert_array_equal(moved[2:, :-3], image[:-2, 3:])
    np.testing.assert_array_equal(moved[0, :-3], image[0, 3:])  # nothing lies above: the first row again


def test_masks_are_the_insides_of_the_contours() -> None:
    """What is drawn takes in the border, a quarter of a pixel wide, half of which lies outside."""
    points = points_in_crop((0.9,))
    masks = lip_masks(points)
    assert (masks.shape, masks.dtype) == ((MOUTH_SIZE, MOUTH_SIZE, 2), np.uint8)
    for number, contour in enumerate((INNER, OUTER)):
        x, y = points[contour].astype(np.float64).T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        border = np.hypot(x - np.roll(x, 1), y - np.roll(y, 1)).sum()
        assert masks[..., number].sum() / 255 == pytest.approx(area + border / 8, rel=0.01)
        inside = np.round(points[contour].mean(0)).astype(int)
        assert masks[inside[1], inside[0], number] == 255
    assert (masks[..., 0] <= masks[..., 1]).all()
    soft = (masks > 0) & (masks < 255)
    assert 10 < soft.sum() < 500  # its border alone


def test_a_mask_moves_with_its_points_by_less_than_a_pixel() -> None:
    points = points_in_crop((0.9,))
    middles = []
    for shift in (0.0, 0.25, 0.5):
        mask = lip_masks(points + np.float32(shift))[..., 1].astype(np.float64)
        middles.append((mask.sum(0) @ np.arange(MOUTH_SIZE)) / mask.sum())
    np.testing.assert_allclose(np.diff(middles), 0.25, atol=0.05)


def test_a_closed_mouth_has_next_to_no_inside() -> None:
    assert lip_masks(points_in_crop())[..., 0].sum() / 255 < 30
    assert lip_masks(points_in_crop())[..., 1].sum() / 255 > 200


@pytest.mark.parametrize("away", [1e4, -1e4, 1e8])
def test_points_anywhere_give_a_mask(away: float) -> None:
    points = points_in_crop() + np.float32(away)
    assert not lip_masks(points).any()
    half = points_in_crop((0.9,)) - np.float32(45)
    assert 0 < lip_masks(half)[..., 1].sum() < lip_masks(points_in_crop((0.9,)))[..., 1].sum()
