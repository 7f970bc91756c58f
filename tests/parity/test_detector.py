"""Both detectors in their one contract: boxes and eyes where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from skimage.data import astronaut

from lipserve_export.runtime import run, session

Image = NDArray[np.uint8]
Letterbox = Callable[[Image], Image]


@pytest.fixture(scope="module")
def yunet(yunet_graph: onnx.ModelProto) -> InferenceSession:
    return session(yunet_graph)


@pytest.fixture(scope="module")
def blazeface(blazeface_graph: onnx.ModelProto) -> InferenceSession:
    return session(blazeface_graph)


@pytest.fixture(scope="module", params=["yunet", "blazeface"])
def detector(request: pytest.FixtureRequest) -> InferenceSession:
    found: InferenceSession = request.getfixturevalue(request.param)
    return found


def best(running: InferenceSession, image: Image) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    outputs = run(running, {"IMAGES": image[None]})
    return outputs["BOXES"][0, 0], float(outputs["SCORES"][0, 0]), outputs["EYES"][0, 0]


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union."""
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def test_yunet_equals_opencvs_own_detector(
    yunet: InferenceSession, yunet_file: Path, picture: Image, letterbox: Letterbox
) -> None:
    image = letterbox(picture)
    reference = cv2.FaceDetectorYN.create(str(yunet_file), "", (640, 640), 0.6, 0.3, 64)
    _, faces = reference.detect(np.ascontiguousarray(image[..., ::-1]))
    assert faces is not None
    faces = faces[np.argsort(-faces[:, 14])]
    outputs = {name: value[0] for name, value in run(yunet, {"IMAGES": image[None]}).items()}
    assert np.abs(outputs["SCORES"][0] - faces[0, 14]) < 1e-3
    for x, y, width, height, *points in faces[:, :14]:
        box = np.array([x, y, x + width, y + height], np.float32)
        match = int(np.abs(outputs["BOXES"] - box).max(axis=1).argmin())
        assert np.abs(outputs["BOXES"][match] - box).max() < 0.5
        assert np.abs(outputs["EYES"][match].ravel() - points[:4]).max() < 0.5


def test_blazeface_sees_the_same_face_and_eyes_as_yunet(
    blazeface: InferenceSession, yunet: InferenceSession, picture: Image, letterbox: Letterbox
) -> None:
    image = letterbox(picture)
    box, score, eyes = best(blazeface, image)
    reference, _, reference_eyes = best(yunet, image)
    width = float(reference[2] - reference[0])
    assert score > 0.6
    assert overlap(box, reference) > 0.4  # BlazeFace's box begins below the brow's top, YuNet's at the hair
    assert np.abs(eyes - reference_eyes).max() < 0.2 * width  # on a tilted head YuNet's own are off by that
    assert eyes[0, 0] < eyes[1, 0]


def interpreted(data: bytes, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Regressions [A, 16] and scores [A] of the TFLite interpreter for RGB 0..255."""
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], (image / 127.5 - 1)[None])
    interpreter.invoke()
    boxes, scores = (interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details())
    return boxes, 1 / (1 + np.exp(-np.clip(scores[:, 0], -80, 80)))


def test_blazeface_equals_the_interpreter_decoded_by_hand(
    blazeface: InferenceSession, tflite: dict[str, bytes], picture: Image, letterbox: Letterbox
) -> None:
    image = letterbox(picture)
    pixels = image.astype(np.float32)
    small = cv2.resize(pixels, (128, 128), interpolation=cv2.INTER_AREA)
    halfway = cv2.resize(pixels, (384, 384), interpolation=cv2.INTER_LINEAR)
    medium = cv2.resize(halfway, (192, 192), interpolation=cv2.INTER_AREA)
    outputs = {name: value[0] for name, value in run(blazeface, {"IMAGES": image[None]}).items()}
    for name, side, view in (("short range", 128, small), ("full range", 192, medium)):
        boxes, scores = interpreted(tflite[name], view)
        best_anchor = int(scores.argmax())
        if scores[best_anchor] < outputs["SCORES"][-1] + 0.01:
            continue
        if name == "full range":  # 48 x 48 cells of one anchor
            cells, cell = 48, best_anchor
        elif best_anchor < 512:  # 16 x 16 cells of two
            cells, cell = 16, best_anchor // 2
        else:  # 8 x 8 cells of six
            cells, cell = 8, (best_anchor - 512) // 6
        centre = (np.array([cell % cells, cell // cells]) + 0.5) / cells * 640
        x, y, width, height, *points = boxes[best_anchor, :8] * (640 / side)
        expected = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]) + np.tile(
            centre, 2
        )
        match = int(np.abs(outputs["BOXES"] - expected).max(axis=1).argmin())
        assert np.abs(outputs["BOXES"][match] - expected).max() < 0.5
        assert np.abs(outputs["EYES"][match].ravel() - points - np.tile(centre, 2)).max() < 0.5
        assert abs(outputs["SCORES"][match] - scores[best_anchor]) < 0.01


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
