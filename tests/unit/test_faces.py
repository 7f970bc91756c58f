from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipserve import faces
from lipserve.files.picture import Colour, Picture


def picture(width: int, height: int) -> Picture:
    half = ((height + 1) // 2, (width + 1) // 2)
    y = np.full((height, width), 200, np.uint8)
    return Picture(y, np.full(half, 128, np.uint8), np.full(half, 128, np.uint8), Colour())


def face(x: float, y: float, size: float, score: float = 0.9) -> faces.Detection:
    box = np.array([x, y, x + size, y + size])
    return faces.Detection(box, score, np.array([[x + 0.3 * size, y], [x + 0.7 * size, y]]))


def test_letterbox_fits_the_picture_with_square_pixels() -> None:
    big, gain = faces.letterbox(picture(1280, 720), Fraction(1))
    assert (big.shape, gain) == ((640, 640, 3), 0.5)
    assert big[:360].min() > 200
    assert big[360:].max() == 0
    small, gain = faces.letterbox(picture(160, 120), Fraction(1))
    assert gain == 4.0
    assert small[:480].min() > 200
    assert small[480:].max() == 0
    half, gain = faces.letterbox(picture(160, 120), Fraction(1), shrink=0.5)
    assert gain == 2.0
    assert half[:240, :320].min() > 200
    assert half[:, 320:].max() == 0
    oblong, gain = faces.letterbox(picture(100, 100), Fraction(2))  # 200 x 100 square pixels
    assert gain == 3.2
    assert oblong[:320].min() > 200
    assert oblong[320:].max() == 0


def test_detections_are_decoded_best_first_without_doubles() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 80, 90], [0, 0, 0, 0]], np.float32)
    scores = np.array([0.8, 0.95, 0.7, 0.99], np.float32)
    eyes = np.array([[[3, 3], [7, 3]]] * 4, np.float32)
    found = faces.detections(boxes, scores, eyes, 0.5)
    assert [round(f.score, 2) for f in found] == [0.95, 0.7]
    assert found[0].box.tolist() == [2, 0, 22, 20]
    assert found[0].eyes.tolist() == [[6, 6], [14, 6]]
    assert faces.detections(boxes, np.zeros(4, np.float32), eyes, 0.5) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_detections_in_a_turned_picture_are_turned_back(turns: int) -> None:
    canvas = np.zeros((640, 640), np.uint8)
    canvas[100:150, 200:300] = 1
    ys, xs = np.nonzero(np.rot90(canvas, turns))
    box = np.array([[xs.min(), ys.min(), xs.max(), ys.max()]], np.float32)
    eyes = np.array([[[xs.min(), ys.min()], [xs.max(), ys.min()]]], np.float32)
    found = faces.detections(box, np.ones(1, np.float32), eyes, 2.0, turns)
    assert found[0].box.tolist() == [100, 50, 149.5, 74.5]
    across = found[0].eyes[1] - found[0].eyes[0]
    upright = {0: 0, 1: np.pi / 2, 2: np.pi, 3: -np.pi / 2}[turns]
    assert np.exp(1j * np.arctan2(across[1], across[0])) == pytest.approx(np.exp(1j * upright))


def test_iou() -> None:
    a = np.array([0.0, 0, 10, 10])
    assert faces.iou(a, a) == 1.0
    assert faces.iou(a, np.array([5.0, 0, 15, 10])) == pytest.approx(1 / 3)
    assert faces.iou(a, np.array([20.0, 0, 30, 10])) == 0.0


def test_the_option_face_chooses_who_speaks() -> None:
    crowd = [face(0, 0, 40), face(100, 0, 90), face(300, 0, 60)]
    assert faces.choose(crowd, "largest", None) == [crowd[1]]
    assert faces.choose(crowd, "all", None) == crowd
    assert faces.choose(crowd, "310,20", (310, 20)) == [crowd[2]]
    assert faces.choose(crowd, "60,20", (60, 20)) == [crowd[0]]  # beside every face: the nearest
    assert faces.choose([], "largest", None) == []


def test_a_region_of_interest_is_upright_and_maps_to_and_fro() -> None:
    rng = np.random.default_rng(5)
    angle = 0.6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = rng.uniform(-50, 50, (468, 2))
    upright[33], upright[263] = (-30, -10), (30, -10)
    upright[0], upright[1] = (-50, -50), (50, 70)
    mesh = upright @ turn.T + [400, 300]
    roi = faces.roi_of_landmarks(mesh)
    assert roi.angle == pytest.approx(angle)
    assert roi.side == pytest.approx(1.5 * 120)
    np.testing.assert_allclose(roi.centre, turn @ [0, 10] + [400, 300])
    matrix = roi.to_input()
    inside = mesh @ matrix[:, :2].T + matrix[:, 2]
    assert inside[263, 1] == pytest.approx(inside[33, 1])  # the eyes are level
    np.testing.assert_allclose(matrix[:, :2] @ roi.centre + matrix[:, 2], [95.5, 95.5])
    points = np.concatenate([inside, np.full((468, 1), 19.2)], 1).astype(np.float32)
    found = faces.from_input(points, roi)
    np.testing.assert_allclose(found[:, :2], mesh, atol=1e-3)
    np.testing.assert_allclose(found[:, 2], 18, rtol=1e-5)  # depth, a tenth of the square's side
    assert not roi.far_from(roi)
    assert faces.Roi(roi.centre + np.array([0.2 * roi.side, 0]), roi.side, 0).far_from(roi)
    assert faces.Roi(roi.centre, 1.4 * roi.side, 0).far_from(roi)


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    found = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1], bool)
    mesh = np.zeros((9, 468, 2))
    mesh[1], mesh[4] = 1.0, 4.0
    cuts = np.zeros(9, bool)
    assert faces.bridge(mesh.copy(), found, np.arange(9) == 3).tolist() == found.tolist()
    bridged = faces.bridge(mesh, found, cuts)
    assert bridged.tolist() == [True] * 5 + [False] * 3 + [True]
    assert mesh[2:4, 0, 0].tolist() == [2.0, 3.0]


def test_the_mask_fades_beside_a_gap_but_not_at_the_ends() -> None:
    found = np.array([1] * 6 + [0] * 3 + [1] * 6, bool)
    expected = [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert faces.fade(found).tolist() == expected
    assert faces.fade(np.ones(4, bool)).tolist() == [1.0] * 4
    assert faces.fade(np.zeros(3, bool)).tolist() == [0.0] * 3


def test_a_profile_is_no_face_to_drive() -> None:
    mesh = np.zeros((468, 2))
    mesh[33], mesh[263] = (40, 50), (60, 50)
    mesh[234], mesh[454] = (0, 60), (100, 60)
    for nose, frontal in ((50, True), (15, True), (85, True), (5, False), (95, False), (-30, False)):
        mesh[1] = (nose, 70)
        assert faces.is_frontal(mesh) == frontal
    turn = np.array([[0, -1], [1, 0]])  # a quarter turn changes nothing
    mesh[1] = (50, 70)
    assert faces.is_frontal(mesh @ turn.T)
