"""The converted networks against the TFLite interpreter, on real faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from lipserve.contracts import Model, Tensor
from lipserve_export.graph import Graph
from lipserve_export.runtime import run, session
from lipserve_export.tflite_reader import read
from lipserve_export.tflite_to_onnx import convert

TOLERANCE = 1e-3  # pixels of the network's input for boxes and points, logits for scores
# Side of the input, lowest value of a pixel, and the size of each output.
NETWORKS = {"short range": (128, -1, (896 * 16, 896)), "full range": (192, -1, (2304 * 16, 2304)),
            "face mesh": (192, 0, (1404, 1))}  # fmt: skip


def interpreted(data: bytes, image: NDArray[np.float32]) -> list[NDArray[Any]]:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]).ravel() for output in interpreter.get_output_details()]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest, tflite: dict[str, bytes]) -> tuple[str, bytes, Any]:
    side, _, sizes = NETWORKS[request.param]
    contract = Model(
        name="network",
        kind="leaf",
        inputs=(Tensor("IMAGE", "FP32", (3, side, side)),),
        outputs=tuple(Tensor(f"OUTPUT_{i}", "FP32", (size,)) for i, size in enumerate(sizes)),
    )
    graph = Graph(contract)
    for i, value in enumerate(convert(graph, read(tflite[request.param]), "IMAGE")):
        graph.op("Reshape", value, graph.constant([0, -1]), output=f"OUTPUT_{i}")
    return request.param, tflite[request.param], session(graph.model())


def test_the_converted_network_equals_the_interpreter(
    network: tuple[str, bytes, Any],
    face: NDArray[np.uint8],
    resize: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]],
) -> None:
    name, data, running = network
    side, lowest, _ = NETWORKS[name]
    small = resize(face, side)
    # A batch of different pictures against one at a time: mirrored, darkened, and noise.
    noise = np.random.default_rng(0).integers(0, 256, small.shape, np.uint8)
    pictures = np.stack([small, small[:, ::-1], small // 3, noise]).astype(np.float32)
    images = pictures / 255 * (1 - lowest) + lowest
    converted = run(running, {"IMAGE": images.transpose(0, 3, 1, 2)})
    for number, image in enumerate(images):
        expected = interpreted(data, image)
        assert len(expected) == len(converted)
        for i, wanted in enumerate(expected):
            assert np.abs(converted[f"OUTPUT_{i}"][number] - wanted).max() <= TOLERANCE
