"""The decoding of a SCRFD against InsightFace's own steps, over a made-up network of the same interface."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from lipserve.contracts import FACE_DETECTOR
from lipserve.errors import SetupError
from lipserve_export.faces.candidates import alone
from lipserve_export.faces.scrfd import scrfd
from lipserve_export.fetch.files import YUNET, shipped_file
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.graph import Graph
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import check_signature
from tests.support import insightface

Floats = NDArray[np.float64]


def pictures(count: int) -> NDArray[np.uint8]:
    """Return smooth coloured pictures with a black part, as the letterbox leaves it."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (count, 20, 20, 3), np.uint8)
    made = np.stack([cv2.resize(image, (640, 640), interpolation=cv2.INTER_CUBIC) for image in small])
    made[:, 480:] = 0
    return np.asarray(made, np.uint8)


def greedy(boxes: Floats, most: float) -> list[int]:
    """Return which boxes [N, 4], best first, stay: one at a time."""
    kept: list[int] = []
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for a1, b1, a2, b2 in boxes[kept]:
            both = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            if both > most * ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - both):
                break
        else:
            kept.append(i)
    return kept


def published(data: bytes, picture: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Return scores, boxes and five points of every anchor, best first: forward and decoding of `scrfd.py`.

    LatentSync gives it RGB where it expects OpenCV's BGR, so its exchange of the two hands the network BGR.
    """
    running = onnxruntime.InferenceSession(data)
    blob = cv2.dnn.blobFromImage(picture, 1 / 128, (640, 640), (127.5, 127.5, 127.5), swapRB=True)
    outputs = [np.asarray(o, np.float64) for o in running.run(None, {"input.1": blob})]
    scores, boxes, points = [], [], []
    for level, stride in enumerate((8, 16, 32)):
        side = 640 // stride
        centres = [(x * stride, y * stride) for y in range(side) for x in range(side) for _ in range(2)]
        centre = np.array(centres, np.float64)
        distance, offset = outputs[level + 3] * stride, outputs[level + 6] * stride
        scores.append(outputs[level][:, 0])
        boxes.append(np.hstack([centre - distance[:, :2], centre + distance[:, 2:]]))
        points.append(centre[:, None] + offset.reshape(-1, 5, 2))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return tuple(np.concatenate(part)[order] for part in (scores, boxes, points))  # type: ignore[return-value]


def test_scrfd_decodes_and_suppresses_boxes_as_insightface_does() -> None:
    data, batch = insightface.scrfd(), pictures(3)
    outputs = run(session(scrfd(data)), {"IMAGES": batch})
    for i, picture in enumerate(batch):
        scores, boxes, points = published(data, picture)
        kept = greedy(boxes[:256], 0.4)[:64]
        count = len(kept)
        assert 8 < count < 256, "there is something to suppress, and something stays"
        np.testing.assert_allclose(outputs["SCORES"][i, :count], scores[kept], atol=1e-5)
        np.testing.assert_allclose(outputs["BOXES"][i, :count], boxes[kept], atol=1e-2)
        np.testing.assert_allclose(outputs["EYES"][i, :count], points[kept][:, :2], atol=1e-2)
        assert (outputs["SCORES"][i, count:] == 0).all()


def test_scrfd_meets_the_contract_in_both_precisions(tmp_path: Any) -> None:
    full = scrfd(insightface.scrfd(3))
    half = to_fp16(full)
    for graph in (full, half):
        check_signature(graph, FACE_DETECTOR, tmp_path)
    batch = pictures(2)
    exact, rounded = (run(session(graph), {"IMAGES": batch}) for graph in (full, half))
    np.testing.assert_allclose(rounded["SCORES"][:, :4], exact["SCORES"][:, :4], atol=5e-3)


def _kept(boxes: Floats, most: float) -> list[int]:
    graph = Graph(FACE_DETECTOR)
    count = len(boxes)
    alone_ = alone(graph, "boxes", count, most)
    graph.op("Identity", alone_, output="kept")
    made = onnx.helper.make_graph(
        graph._nodes, "alone",
        [onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, [1, count, 4])],
        [onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.FLOAT, [1, count, 1])],
        graph._constants,
    )  # fmt: skip
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    (kept,) = session(model).run(None, {"boxes": boxes[None].astype(np.float32)})
    return np.flatnonzero(np.asarray(kept)[0, :, 0]).tolist()


def test_boxes_in_a_chain_are_judged_one_after_the_other() -> None:
    """Each hides the next alone: the first, the third, the fifth ... stay."""
    steps = np.arange(15) * 3.0
    chain = np.stack([steps, np.zeros(15), steps + 10, np.full(15, 10.0)], 1)
    assert _kept(chain, 0.4) == greedy(chain, 0.4) == list(range(0, 15, 2))


@pytest.mark.parametrize("seed", range(6))
def test_crowds_are_thinned_as_greedily_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 200, (120, 2)), rng.uniform(10, 80, (120, 2))
    boxes = np.hstack([corner, corner + size])
    assert _kept(boxes, 0.4) == greedy(boxes, 0.4)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a SCRFD"),
        (b"\x00\x01 no network", "not a SCRFD"),
        (insightface.scrfd(key_points=False), "6 outputs"),
        (insightface.landmarks106(), "1 outputs"),
        (shipped_file(YUNET.name).read_bytes(), "12 outputs"),
    ],
    ids=["empty", "noise", "without points", "another network", "YuNet"],
)
def test_another_file_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(SetupError, match=said) as caught:
        scrfd(data)
    assert "--scrfd" in caught.value.remedy
