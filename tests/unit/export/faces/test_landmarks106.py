from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from lipserve.contracts import FACE_LANDMARKS_106
from lipserve.errors import SetupError
from lipserve_export.faces.landmarks106 import face_landmarks_106
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import check_signature
from tests.support import insightface

CROPS = np.random.default_rng(2).integers(0, 256, (3, 192, 192, 3), np.uint8)


@pytest.mark.parametrize(("scales", "mean", "deviation"), [(True, 0.0, 1.0), (False, 127.5, 128.0)])
def test_2d106det_equals_the_steps_of_insightface(scales: bool, mean: float, deviation: float) -> None:
    """`landmark.py`: scaled here where the network does not, and handed BGR, as LatentSync does."""
    data = insightface.landmarks106(1, scales)
    outputs = run(session(face_landmarks_106(data)), {"IMAGES": CROPS})["LANDMARKS"]
    running = onnxruntime.InferenceSession(data)
    for crop, found in zip(CROPS, outputs, strict=True):
        blob = cv2.dnn.blobFromImage(crop, 1 / deviation, (192, 192), (mean, mean, mean), swapRB=True)
        predicted = np.asarray(running.run(None, {"data": blob})[0])[0].reshape(-1, 2)
        np.testing.assert_allclose(found, (predicted + 1) * 96, atol=1e-3)
    assert np.ptp(outputs[:, :, 0]) > 10, "the network says something"


def test_2d106det_meets_the_contract_in_both_precisions(tmp_path: Path) -> None:
    full = face_landmarks_106(insightface.landmarks106())
    half = to_fp16(full)
    for graph in (full, half):
        check_signature(graph, FACE_LANDMARKS_106, tmp_path)
    exact, rounded = (run(session(graph), {"IMAGES": CROPS})["LANDMARKS"] for graph in (full, half))
    np.testing.assert_allclose(rounded, exact, atol=1.0)


@pytest.mark.parametrize("data", [b"", b"noise", insightface.scrfd()])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(SetupError, match="not a 2d106det") as caught:
        face_landmarks_106(data)
    assert "--landmarks106" in caught.value.remedy
