"""The public framing: its formulas with numbers, its crop and its paste against OpenCV's own resize."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.files.picture import Colour, Picture
from lipserve.media.yuv import from_rgb
from lipserve.wav2lip.box import Box, boxes, place, smooth, soft_border
from tests.support.pictures import textured

ONE, EXTENT = Fraction(1), (640, 360)
GREY = Colour("bt601", True, "smpte170m", "smpte170m")  # R, G and B are Y where U and V are 128


def mesh(x1: float, y1: float, x2: float, y2: float) -> NDArray[np.float64]:
    """Return a mesh [1, 468, 3] that reaches to these edges, and is deeper than it is wide."""
    rng = np.random.default_rng(5)
    points = rng.uniform((x1, y1, -900), (x2, y2, 900), (468, 3))
    points[:2] = [(x1, y1, -900), (x2, y2, 900)]
    return points[None]


def published(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what the public code makes of whole-numbered boxes [F, 4], F at least 5: one array, in place."""
    out = found.copy()
    for frame in range(len(out)):
        window = out[-5:] if frame + 5 > len(out) else out[frame : frame + 5]
        out[frame] = window.mean(axis=0)  # truncated
    return out


def grey(width: int, height: int) -> Picture:
    y = textured(width, height).y
    flat = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    return Picture(y, flat, flat.copy(), GREY)


def copied(picture: Picture) -> Picture:
    return Picture(picture.y.copy(), picture.u.copy(), picture.v.copy(), picture.colour)


def pasted(picture: Picture, *arguments: Any) -> Picture:
    """Return a copy of the picture with a face pasted in."""
    result = copied(picture)
    Box(96).paste(result, *arguments)
    return result


def test_the_box_is_the_mesh_the_forehead_and_ten_pixels_below() -> None:
    found = boxes(mesh(200, 100, 300, 240), ONE, EXTENT)
    np.testing.assert_allclose(found, [[200, 100 - 0.095 * 140, 300, 250]])


def test_a_box_is_counted_in_the_pixels_of_the_picture() -> None:
    """In a picture whose pixels are twice as wide as high: the ten below stay ten rows."""
    found = boxes(mesh(200, 100, 300, 240), Fraction(2), EXTENT)
    np.testing.assert_allclose(found, [[100, 86.7, 150, 250]])


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((-30, -20, 90, 100), (0, 0, 90, 110)),
        ((500, 300, 700, 355), (500, 294.775, 640, 360)),
        ((700, 400, 800, 500), (639, 359, 640, 360)),  # nothing of it is seen
        ((-80, -90, -10, -20), (0, 0, 1, 1)),
    ],
)
def test_a_box_ends_where_the_picture_ends(
    edges: tuple[float, float, float, float], expected: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(boxes(mesh(*edges), ONE, EXTENT), [expected])


def test_an_edge_is_the_mean_of_five_frames() -> None:
    """Of a face that moves by ten pixels a frame, seven frames; the last four look at the last five."""
    edge = np.arange(0.0, 70.0, 10)
    found = smooth(edge[:, None] + [0, 100, 200, 300], np.zeros(7, np.int64))
    expected = [20, 30, 40, 44, 46.8, 48.16, 47.792]
    np.testing.assert_allclose(found, np.array(expected)[:, None] + [0, 100, 200, 300])


@pytest.mark.parametrize("frames", [5, 6, 9, 40])
def test_a_truncated_box_is_that_of_the_public_code(frames: int) -> None:
    """It truncates in every step, so its tail falls behind by up to a pixel more."""
    rng = np.random.default_rng(frames)
    whole = rng.integers(0, 60, (frames, 4)) + np.array([200, 80, 320, 220])
    ours, theirs = smooth(whole.astype(np.float64), np.zeros(frames, np.int64)), published(whole)
    np.testing.assert_array_equal(np.floor(ours[:-4]), theirs[:-4])
    assert (ours - theirs).min() >= 0
    assert (ours - theirs).max() < 2
    still = np.repeat(whole[:1], frames, 0)
    np.testing.assert_array_equal(smooth(still.astype(np.float64), np.zeros(frames, np.int64)), still)


def test_the_mean_never_looks_across_a_cut() -> None:
    edges = np.random.default_rng(2).uniform(0, 100, (13, 4))
    runs = np.repeat([3, 7, 8], [8, 3, 2])
    found = smooth(edges, runs)
    for part in (slice(0, 8), slice(8, 11), slice(11, 13)):
        np.testing.assert_array_equal(found[part], smooth(edges[part], runs[part]))
    np.testing.assert_allclose(found[8], edges[8:11].mean(0))  # a run of three: all of it
    assert np.abs(found[7] - smooth(edges, np.zeros(13, np.int64))[7]).max() > 1


def test_four_frames_more_are_all_that_a_box_depends_on() -> None:
    edges = np.random.default_rng(4).uniform(0, 100, (30, 4))
    runs = np.zeros(30, np.int64)
    np.testing.assert_array_equal(smooth(edges[10:20], runs[10:20])[:6], smooth(edges, runs)[10:16])


def test_the_box_fills_the_crop() -> None:
    """Its borders are the crop's: half a pixel outside the first and the last centre."""
    (matrix,) = place(np.array([[200.0, 90.5, 300.0, 250.25]]), 96)
    corners = np.array([[199.5, 90.0, 1.0], [299.5, 249.75, 1.0]]) @ matrix.T
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [95.5, 95.5]], atol=1e-4)
    assert matrix[0, 1] == matrix[1, 0] == 0


@pytest.mark.parametrize(("width", "height"), [(131, 177), (200, 300), (96, 96), (97, 400)])
def test_a_crop_is_the_rectangle_resized(width: int, height: int) -> None:
    picture = grey(480, 420)
    x1, y1 = 41, 13
    (matrix,) = place(np.array([[x1, y1, x1 + width, y1 + height]], float), 96)
    crop = Box(96).crop(picture, matrix)
    expected = cv2.resize(picture.y[y1 : y1 + height, x1 : x1 + width], (96, 96))
    for channel in range(3):
        assert np.abs(crop[:, :, channel].astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(131, 177), (240, 300), (60, 84)])
def test_a_paste_is_the_face_resized_back(width: int, height: int) -> None:
    picture, x1, y1 = textured(480, 420), 41, 13
    (matrix,) = place(np.array([[x1, y1, x1 + width, y1 + height]], float), 96)
    face = cv2.GaussianBlur(np.random.default_rng(6).integers(0, 256, (96, 96, 3), np.uint8), (0, 0), 3)
    result = pasted(picture, face, matrix)
    expected, _, _ = from_rgb(np.asarray(cv2.resize(face, (width, height)), np.uint8), picture.colour)
    soft = np.array([height, width]) * 4.5 / 96
    rows, columns = (slice(int(np.ceil(s)), -int(np.ceil(s))) for s in soft)
    made = result.y[y1 : y1 + height, x1 : x1 + width]
    assert np.abs(made.astype(int) - expected)[rows, columns].max() <= 2
    changed = np.argwhere(result.y != picture.y)
    assert changed.min(0).min() >= min(x1, y1)
    low, high = changed.min(0), changed.max(0)
    assert (low >= (y1, x1)).all()
    assert (high < (y1 + height, x1 + width)).all()
    assert (low <= np.array([y1, x1]) + soft).all()  # the border is soft, and no wider
    assert (high >= np.array([y1 + height, x1 + width]) - soft - 1).all()


@pytest.mark.parametrize("size", [(200, 121), (333, 250)])
def test_outside_the_box_no_sample_changes(size: tuple[int, int]) -> None:
    """Of fractional boxes, chroma too, at the picture's border and of odd sizes."""
    picture = textured(*size)
    for edges in ((50.3, 20.6, 140.9, 110.2), (0, 0, 60.5, 80.25), (size[0] - 50.5, 30.1, *size)):
        (matrix,) = place(np.array([edges], float), 96)
        result = pasted(picture, 255 - Box(96).crop(picture, matrix), matrix)
        x1, y1, x2, y2 = edges
        rows, columns = np.mgrid[: size[1], : size[0]]
        outside = (columns < x1 - 0.5) | (columns > x2 - 0.5) | (rows < y1 - 0.5) | (rows > y2 - 0.5)
        np.testing.assert_array_equal(result.y[outside], picture.y[outside])
        assert (result.y != picture.y)[~outside].mean() > 0.7
        below = np.mgrid[: picture.u.shape[0], : picture.u.shape[1]]
        v, u = below[0] * 2 + 0.5, below[1] * 2  # of a sample, in pixels
        outside = (u < x1 - 0.5) | (u > x2 - 0.5) | (v < y1 - 0.5) | (v > y2 - 0.5)
        for made, plane in ((result.u, picture.u), (result.v, picture.v)):
            np.testing.assert_array_equal(made[outside], plane[outside])
            assert (made != plane)[~outside].mean() > 0.5


def test_weight_zero_is_exact() -> None:
    picture = textured(300, 300)
    (matrix,) = place(np.array([[60.0, 50.0, 200.0, 230.0]]), 96)
    untouched = pasted(picture, np.zeros((96, 96, 3), np.uint8), matrix, 0.0)
    for plane, source in zip(
        (untouched.y, untouched.u, untouched.v), (picture.y, picture.u, picture.v), strict=True
    ):
        np.testing.assert_array_equal(plane, source)


def test_the_border_is_soft_and_inside() -> None:
    mask = soft_border(96)
    assert mask.shape == (96, 96)
    assert mask[4:-4, 4:-4].min() == 1.0
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0.0
    np.testing.assert_allclose(mask[48, :5], [0, 0.15625, 0.5, 0.84375, 1])
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])


def test_a_whole_way_from_meshes_to_a_pasted_face() -> None:
    """A head that walks to the right: the boxes lead it by two frames, and a paste of its crop is no news."""
    meshes = np.concatenate([mesh(100 + 3 * i, 80, 200 + 3 * i, 220) for i in range(20)])
    placed = Box(96).transforms(meshes, np.zeros(20, np.int64), ONE, EXTENT)
    lefts = (0.5 - (placed[:, 0, 2] + 0.5) / placed[:, 0, 0])[:16]
    np.testing.assert_allclose(lefts, 106 + 3 * np.arange(16), atol=1e-3)
    picture = textured(*EXTENT)
    result = pasted(picture, Box(96).crop(picture, placed[3]), placed[3])
    error = (result.y.astype(float) - picture.y)[result.y != picture.y]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38
