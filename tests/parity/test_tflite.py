"""The converted face mesh against the TFLite interpreter, on real faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from lipserve.contracts import Model, Tensor
from lipserve_export.faces.tflite_reader import read
from lipserve_export.faces.tflite_to_onnx import convert
from lipserve_export.graphs.graph import Graph
from lipserve_export.graphs.runtime import run, session

TOLERANCE = 1e-3  # pixels of the network's input for points, logits for the score
SIDE = 192
CONTRACT = Model(
    name="network",
    kind="leaf",
    inputs=(Tensor("IMAGE", "FP32", (3, SIDE, SIDE)),),
    outputs=(Tensor("POINTS", "FP32", (1404,)), Tensor("SCORE", "FP32", (1,))),
)


def interpreted(data: bytes, image: NDArray[np.float32]) -> list[NDArray[Any]]:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]).ravel() for output in interpreter.get_output_details()]


def test_the_converted_network_equals_the_interpreter(
    mesh_file: bytes,
    face: NDArray[np.uint8],
    resize: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]],
) -> None:
    graph = Graph(CONTRACT)
    for tensor, value in zip(CONTRACT.outputs, convert(graph, read(mesh_file), "IMAGE"), strict=True):
        graph.op("Reshape", value, graph.constant([0, -1]), output=tensor.name)
    small = resize(face, SIDE)
    # A batch of different pictures against one at a time: mirrored, darkened, and noise.
    noise = np.random.default_rng(0).integers(0, 256, small.shape, np.uint8)
    images = np.stack([small, small[:, ::-1], small // 3, noise]).astype(np.float32) / 255
    converted = run(session(graph.model()), {"IMAGE": images.transpose(0, 3, 1, 2)})
    for number, image in enumerate(images):
        for found, wanted in zip(converted.values(), interpreted(mesh_file, image), strict=True):
            assert np.abs(found[number] - wanted).max() <= TOLERANCE
