"""Faces that are aligned by 106 points, of a made-up network that finds them where it is told."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio, faces
from lipserve.contracts import MESH_POINTS, SAMPLE_RATE
from lipserve.crops import Cropper
from lipserve.files.picture import Picture
from lipserve.latentsync.geometry import POINTS as POINTS_OF_THE_MESH
from lipserve.latentsync.geometry import REFERENCE, Reference
from lipserve.latentsync.landmarks import ReferenceTracker, framed
from lipserve.leaves import Leaves
from lipserve.media import probe
from lipserve.media.yuv import to_rgb
from lipserve.segments import Span
from lipserve.tiers import LATENTSYNC, CropForm
from lipserve.tracking import Tracker
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.preprocess import Preprocess

POINTS = np.random.default_rng(4).uniform(20, 170, (106, 2)).astype(np.float32)
for _group, _place in zip(REFERENCE, ((70, 70), (122, 70), (96, 108)), strict=True):
    POINTS[list(_group)] = np.array(_place) + np.random.default_rng(9).uniform(-6, 6, (len(_group), 2))


class Supplied:
    """The leaves of a repository, and one that finds `POINTS` in every picture; keeps what it was shown."""

    def __init__(self, exported: Path) -> None:
        self._leaves = OnnxLeaves(exported)
        self.shown: list[NDArray[np.uint8]] = []
        self.blind = False

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        if model == "face_landmarks_106":
            self.shown += list(inputs["IMAGES"])
            return {"LANDMARKS": np.stack([POINTS] * len(inputs["IMAGES"]))}
        found = self._leaves(model, inputs, outputs)
        if model == "face_detector" and self.blind:
            found["SCORES"] = found["SCORES"] * 0
        return found


def pictures(count: int, size: tuple[int, int] = (320, 240)) -> list[Picture]:
    return [portrait.picture(frame) for frame in portrait.frames(count / 25, size)]


def tracked(
    leaves: Leaves, shown: list[Picture], aspect: Fraction = Fraction(1), who: str = "largest"
) -> ReferenceTracker:
    tracker = ReferenceTracker(leaves, Fraction(25), aspect, who, None)
    for first in range(0, len(shown), 8):
        tracker.add(shown[first : first + 8], first)
    return tracker


def detected(leaves: Leaves, picture: Picture, aspect: Fraction = Fraction(1)) -> faces.Detection:
    image, gain = faces.letterbox(picture, aspect)
    out = leaves("face_detector", {"IMAGES": image[None]})
    (face,) = faces.detections(out["BOXES"][0], out["SCORES"][0], out["EYES"][0], gain)
    return face


def in_picture(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where POINTS of the network's input lie in the picture."""
    return np.asarray((POINTS - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


@pytest.fixture
def leaves(exported: Path) -> Supplied:
    return Supplied(exported)


def test_the_square_is_half_as_wide_again_as_the_box() -> None:
    matrix = framed(np.array([100.0, 50.0, 180.0, 170.0]), 0.3)  # a tilt is left as it is
    gain = 192 / (1.5 * 120)
    np.testing.assert_allclose(matrix, [[gain, 0, 96 - 140 * gain], [0, gain, 96 - 110 * gain]], atol=1e-12)
    for quarter in range(4):
        turned = framed(np.array([100.0, 50.0, 180.0, 170.0]), quarter * np.pi / 2 + 0.3)
        np.testing.assert_allclose(turned @ [140, 110, 1], [96, 96], atol=1e-9)
        down = turned[:, :2] @ [-np.sin(quarter * np.pi / 2), np.cos(quarter * np.pi / 2)]  # of the head
        np.testing.assert_allclose(down, [0, gain], atol=1e-9)


def test_the_points_lie_where_the_network_saw_them_around_the_detectors_box(leaves: Supplied) -> None:
    shown = pictures(11)
    track = tracked(leaves, shown).tracks[0]
    assert all(track.found)
    assert len(leaves.shown) == 11
    for frame, picture in enumerate(shown):
        matrix = framed(detected(leaves, picture).box, 0.0)
        np.testing.assert_allclose(track.landmarks[frame][MESH_POINTS:, :2], in_picture(matrix), atol=1e-3)
        assert (track.landmarks[frame][MESH_POINTS:, 2] == 0).all()
        rgb = to_rgb(
            picture.y, *(cv2.resize(p, picture.y.shape[::-1]) for p in (picture.u, picture.v)), picture.colour
        )
        cut = cv2.warpAffine(rgb, matrix, (192, 192), borderMode=cv2.BORDER_REPLICATE)
        assert np.abs(cut.astype(int) - leaves.shown[frame]).mean() < 2.0
    plain = Tracker(leaves, Fraction(25), Fraction(1), "largest", None)
    plain.add(shown[:8], 0)
    for own, other in zip(track.landmarks[:8], plain.tracks[0].landmarks, strict=True):
        np.testing.assert_array_equal(own[:MESH_POINTS], other)


def test_where_the_detector_misses_a_face_the_square_is_around_its_mesh(leaves: Supplied) -> None:
    shown = pictures(8)
    tracker = ReferenceTracker(leaves, Fraction(25), Fraction(1), "largest", None)
    tracker.add(shown[:4], 0)
    leaves.blind = True
    tracker.add(shown[4:], 4)
    track = tracker.tracks[0]
    assert all(track.found)
    for points in track.landmarks[4:]:
        matrix = framed(faces.box_of(points[:MESH_POINTS]), 0.0)
        np.testing.assert_allclose(points[MESH_POINTS:, :2], in_picture(matrix), atol=1e-3)


def test_pixels_that_are_no_squares_are_made_square(leaves: Supplied) -> None:
    """Of a picture with half the columns, whose pixels are twice as wide, the points are the same."""
    (whole,) = pictures(1, (640, 320))
    y, u, v = (
        cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0])) for plane in (whole.y, whole.u, whole.v)
    )
    narrow = Picture(y, u, v, whole.colour)
    wide = tracked(leaves, [whole]).tracks[0].landmarks[0][MESH_POINTS:]
    squeezed = tracked(leaves, [narrow], Fraction(2)).tracks[0].landmarks[0][MESH_POINTS:]
    np.testing.assert_allclose(squeezed, wide, atol=3.0)
    assert np.abs(leaves.shown[0].astype(int) - leaves.shown[1]).mean() < 15


def test_frames_without_a_face_have_no_points_and_ask_nothing(leaves: Supplied) -> None:
    shown, grey = pictures(3), portrait.picture(np.full((240, 320, 3), 128, np.uint8))
    tracker = tracked(leaves, [grey] * 8 + shown, who="all")
    (track,) = tracker.tracks
    assert track.found == [False] * 8 + [True] * 3
    assert len(leaves.shown) == 3
    points = np.array(track.landmarks)
    assert points.shape == (11, 574, 3)
    assert not points[:8].any()
    assert points[8:, MESH_POINTS:, :2].all()


def test_crops_are_aligned_by_the_three_points_of_the_reference(leaves: Supplied) -> None:
    info = probe.probe(portrait.clip(0.44, (320, 240)))
    geometry = LATENTSYNC.geometry(CropForm(256, landmarks="106"))
    assert LATENTSYNC.tracker(CropForm(256, landmarks="106")) is ReferenceTracker
    assert LATENTSYNC.tracker(CropForm(256)) is Tracker
    tracker = tracked(leaves, [])
    cropper = Cropper(tracker, info, geometry, 0)
    shown = pictures(11)
    cropper.add(shown[:8])
    cropper.add(shown[8:])
    rows = cropper.rows(np.arange(11), Span(0, 11))
    assert rows["MESHES"].shape == (11, MESH_POINTS, 3)
    points = np.array(tracker.tracks[0].landmarks)[:, MESH_POINTS:, :2]
    three = np.stack([points[:, list(group)].mean(1) for group in REFERENCE], 1)
    mesh = np.zeros((11, MESH_POINTS, 2))
    for place, group in enumerate(POINTS_OF_THE_MESH):
        mesh[:, list(group)] = three[:, place, None]
    wanted = Reference(256).transforms(mesh, np.zeros(11, np.int64), Fraction(1), (320, 240))
    np.testing.assert_allclose(rows["TRANSFORMS"], wanted, atol=1e-3)
    by_mesh = Reference(256).transforms(
        np.array(tracker.tracks[0].landmarks), np.zeros(11, np.int64), Fraction(1), (320, 240)
    )
    assert np.abs(by_mesh - rows["TRANSFORMS"]).max() > 1.0, "another face than the mesh's"


def test_the_stage_uses_them_where_the_repository_has_them(leaves: Supplied) -> None:
    video, speech = portrait.clip(0.64, (320, 240)), audio.wav(np.zeros(int(0.64 * SAMPLE_RATE), np.float32))
    exact = Preprocess(LATENTSYNC, leaves, crops=CropForm(256, landmarks="106"))(video, speech)
    assert len(leaves.shown) >= 16
    assert exact["FACES"].shape == (16, 256, 256, 3)
    asked = len(leaves.shown)
    usual = Preprocess(LATENTSYNC, leaves, crops=CropForm(256))(video, speech)
    assert len(leaves.shown) == asked
    assert np.abs(exact["TRANSFORMS"] - usual["TRANSFORMS"]).max() > 1.0
