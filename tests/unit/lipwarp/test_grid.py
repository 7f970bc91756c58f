"""Samples of luma and chroma in the mouth crop: they are where `align` says, at every density."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import align
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.lipwarp.geometry import soft_mask
from lipserve.lipwarp.grid import Grid, corners, halved, halved_places
from tests.unit.lipwarp.people import crop_transform

PLANE = (641, 479)


def grid_of(side: float, angle: float = 0.0, corner: tuple[float, float] = (120.0, 60.0)) -> Grid:
    step = crop_transform(side, angle, corner).astype(np.float64)
    return Grid.of(step, np.asarray(cv2.invertAffineTransform(step)), PLANE[::-1])


def samples(grid: Grid) -> NDArray[np.int64]:
    """Return the samples [h, w, 2] of a grid."""
    return np.stack(np.meshgrid(*(np.arange(*ends) for ends in zip(grid.low, grid.high, strict=True))), -1)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
@pytest.mark.parametrize("side", [70.0, 131.0, 340.0, 1400.0])
def test_where_nothing_flows_every_sample_comes_from_its_own_place(side: float, angle: float) -> None:
    """In the border too, where nodes lie beyond the grid."""
    grid = grid_of(side, angle, (250.0, 200.0))
    still = np.zeros((FLOW_SIZE, FLOW_SIZE, 2), np.float32)
    (places,) = grid.places([still], [grid.back])
    np.testing.assert_allclose(np.stack(places, -1), samples(grid), atol=2e-3)


@pytest.mark.parametrize("side", [131.0, 340.0, 600.0])
def test_a_crop_is_shown_as_if_every_sample_had_been_warped(side: float) -> None:
    grid = grid_of(side, 0.3)
    y, x = np.mgrid[:MOUTH_SIZE, :MOUTH_SIZE].astype(np.float32)
    crop = cv2.merge([np.sin(x / 9), np.cos(y / 7)])
    there = samples(grid) @ grid.step[:, :2].T + grid.step[:, 2]
    inside = ((there > 1) & (there < MOUTH_SIZE - 2)).all(-1)
    assert inside.mean() > 0.6
    for shown, wanted in zip(
        grid.show(crop), (np.sin(there[..., 0] / 9), np.cos(there[..., 1] / 7)), strict=True
    ):
        assert np.abs(shown - wanted)[inside].max() < 0.01


@pytest.mark.parametrize("side", [131.0, 340.0, 600.0])
def test_a_mask_is_shown_as_if_every_sample_had_been_warped_and_ends_where_it_ends(side: float) -> None:
    """Its nodes lie as far apart as its pixels do, and show some of it where it is zero."""
    grid, mask = grid_of(side, 0.3), np.minimum(4 * soft_mask(), np.float32(1))
    shown, (wanted,) = grid.show_mask(mask, 1.0), grid.show(mask)
    assert (shown.shape, shown.dtype) == (wanted.shape, np.float32)
    assert not shown[wanted == 0].any()
    assert np.abs(shown - wanted).max() < 0.07
    assert np.abs(shown - wanted).mean() < 0.002


@pytest.mark.parametrize("corner", [(-100.0, -90.0), (333.0, 301.0), (400.0, 320.0)])
def test_a_grid_is_even_so_that_chroma_belongs_to_it(corner: tuple[float, float]) -> None:
    """The last column and row of an odd plane have chroma of their own."""
    grid = grid_of(300.0, 0.2, corner)
    assert not grid.empty
    assert not (grid.low % 2).any()
    assert not (grid.high % 2).any()
    luma, u, v = grid.parts()
    assert u == v
    planes = np.zeros(PLANE[::-1]), np.zeros([-(-side // 2) for side in PLANE[::-1]])
    extent = (grid.high - grid.low)[::-1]
    short = np.maximum(grid.high - PLANE, 0)[::-1]
    assert luma.of(planes[0]).shape == tuple(extent - short)
    assert u.of(planes[1]).shape == tuple(extent // 2)


def test_places_of_chroma_are_those_of_its_siting() -> None:
    """The same affine map as `align.to_chroma` gives."""
    grid = grid_of(200.0, 0.3)
    other = crop_transform(150.0, -0.5, (80.0, 50.0)).astype(np.float64)
    back = np.asarray(cv2.invertAffineTransform(other))
    (places,) = grid.places([np.zeros((FLOW_SIZE, FLOW_SIZE, 2), np.float32)], [back])
    found = np.stack(halved_places(places), -1)
    whole = samples(grid)[::2, ::2] + (0.0, 0.5)  # chroma lies left, between two rows
    in_crop = whole @ grid.step[:, :2].T + grid.step[:, 2]
    chroma = align.to_chroma(back)
    np.testing.assert_allclose(found, in_crop @ chroma[:, :2].T + chroma[:, 2], atol=2e-3)


def test_a_channel_at_the_samples_of_chroma_is_the_mean_of_two_rows() -> None:
    channel = np.float32([[1, 9, 5, 9], [3, 9, 8, 9]])
    np.testing.assert_array_equal(halved(channel), [[2, 6.5]])


def test_samples_within_corners_hold_what_is_marked() -> None:
    grid, marked = grid_of(340.0, 0.5), np.zeros((MOUTH_SIZE, MOUTH_SIZE), bool)
    assert corners(marked) is None
    marked[50:60, 40:45] = True
    edges = corners(marked)
    assert edges is not None
    inner = grid.within(edges)
    there = samples(grid) @ grid.step[:, :2].T + grid.step[:, 2]
    hit = ((there >= (40, 50)) & (there <= (44, 59))).all(-1)
    found = samples(grid)[hit]
    assert len(found)
    assert (inner.low <= found.min(0)).all()
    assert (inner.high > found.max(0)).all()
    assert ((inner.high - inner.low) < (grid.high - grid.low)).all()
