"""The face mesh leaf as it is served: 8-bit pictures in, points in pixels out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from lipserve_export.graphs.runtime import run, session

Image = NDArray[np.uint8]
Resize = Callable[[Image, int], Image]

# MediaPipe's numbers: corners of the mouth, of the eye left in the picture and of the other, tip of the nose.
MOUTH, LEFT_EYE, RIGHT_EYE, NOSE = (61, 291), (33, 133), (362, 263), 1


@pytest.fixture(scope="module")
def mesh(mesh_graph: onnx.ModelProto) -> InferenceSession:
    return session(mesh_graph)


def test_the_served_graph_equals_the_interpreter(
    mesh: InferenceSession, mesh_file: bytes, face: Image, resize: Resize
) -> None:
    image = resize(face, 192)
    served = run(mesh, {"IMAGES": image[None]})
    interpreter = Interpreter(model_content=mesh_file)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None].astype(np.float32) / 255)
    interpreter.invoke()
    points, flag = (interpreter.get_tensor(o["index"]).ravel() for o in interpreter.get_output_details())
    assert np.abs(served["LANDMARKS"][0].ravel() - points).max() <= 1e-3
    assert np.abs(served["SCORES"][0] - 1 / (1 + np.exp(-flag.astype(np.float64)))).max() <= 1e-3


def test_the_points_lie_on_the_face(mesh: InferenceSession, face: Image, resize: Resize) -> None:
    outputs = run(mesh, {"IMAGES": resize(face, 192)[None]})
    assert outputs["SCORES"][0, 0] > 0.9
    points = outputs["LANDMARKS"][0]
    left, right = (points[list(eye), :2].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE))
    mouth = points[list(MOUTH), :2].mean(axis=0)
    assert 15 < right[0] - left[0] < 100
    assert abs(right[1] - left[1]) < 0.6 * (right[0] - left[0])
    assert mouth[1] > points[NOSE, 1] > max(left[1], right[1])


def test_noise_is_no_face(mesh: InferenceSession) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 192, 192, 3), np.uint8)
    assert run(mesh, {"IMAGES": noise})["SCORES"].max() < 0.1
