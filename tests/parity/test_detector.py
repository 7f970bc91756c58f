"""The face detector leaf as it is served: boxes and eyes where they are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from skimage.data import astronaut

from lipserve_export.fetch.files import YUNET, shipped_file
from lipserve_export.graphs.runtime import run, session

Image = NDArray[np.uint8]
Letterbox = Callable[[Image], Image]


@pytest.fixture(scope="module")
def detector(yunet_graph: onnx.ModelProto) -> InferenceSession:
    return session(yunet_graph)


def best(running: InferenceSession, image: Image) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    outputs = run(running, {"IMAGES": image[None]})
    return outputs["BOXES"][0, 0], float(outputs["SCORES"][0, 0]), outputs["EYES"][0, 0]


def test_yunet_equals_opencvs_own_detector(
    detector: InferenceSession, picture: Image, letterbox: Letterbox
) -> None:
    image = letterbox(picture)
    reference = cv2.FaceDetectorYN.create(str(shipped_file(YUNET.name)), "", (640, 640), 0.6, 0.3, 64)
    _, faces = reference.detect(np.ascontiguousarray(image[..., ::-1]))
    assert faces is not None
    faces = faces[np.argsort(-faces[:, 14])]
    outputs = {name: value[0] for name, value in run(detector, {"IMAGES": image[None]}).items()}
    assert np.abs(outputs["SCORES"][0] - faces[0, 14]) < 1e-3
    for x, y, width, height, *points in faces[:, :14]:
        box = np.array([x, y, x + width, y + height], np.float32)
        match = int(np.abs(outputs["BOXES"] - box).max(axis=1).argmin())
        assert np.abs(outputs["BOXES"][match] - box).max() < 0.5
        assert np.abs(outputs["EYES"][match].ravel() - points[:4]).max() < 0.5


def test_boxes_follow_a_picture_that_moves_and_grows(detector: InferenceSession) -> None:
    portrait = astronaut()[:300, 60:360]
    first = np.zeros((640, 640, 3), np.uint8)
    first[:300, :300] = portrait
    moved = np.zeros_like(first)
    moved[300:600, 240:540] = portrait
    grown = np.zeros_like(first)
    grown[:600, :600] = cv2.resize(portrait, (600, 600), interpolation=cv2.INTER_CUBIC)
    box, score, eyes = best(detector, first)
    assert score > 0.7
    step = np.array([240, 300])
    moved_box, _, moved_eyes = best(detector, moved)
    assert np.abs(moved_box - box - np.tile(step, 2)).max() < 6
    assert np.abs(moved_eyes - eyes - step).max() < 6
    grown_box, _, grown_eyes = best(detector, grown)
    assert np.abs(grown_box / 2 - box).max() < 12
    assert np.abs(grown_eyes / 2 - eyes).max() < 6


def test_candidates_come_best_first_and_a_batch_changes_nothing(
    detector: InferenceSession, letterbox: Letterbox
) -> None:
    faces = letterbox(astronaut())
    empty = np.zeros_like(faces)
    together = run(detector, {"IMAGES": np.stack([faces, empty, faces[:, ::-1]])})
    assert (np.diff(together["SCORES"], axis=1) <= 0).all()
    assert together["SCORES"].min() >= 0
    assert together["SCORES"].max() <= 1
    assert together["SCORES"][1, 0] < 0.3
    alone = run(detector, {"IMAGES": faces[None]})
    # Among near-equal scores the order may change with the batch; the best stands out.
    for name in ("BOXES", "SCORES", "EYES"):
        np.testing.assert_allclose(together[name][0, 0], alone[name][0, 0], atol=1e-2)
    mirrored = together["BOXES"][2, 0][[2, 1, 0, 3]] * [-1, 1, -1, 1] + [640, 0, 640, 0]
    assert np.abs(mirrored - alone["BOXES"][0, 0]).max() < 12
