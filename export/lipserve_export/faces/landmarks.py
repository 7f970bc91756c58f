"""The face mesh leaf: upright RGB faces to 468 points in pixels."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from lipserve.contracts import FACE_LANDMARKS, MESH_POINTS
from lipserve_export.faces.tflite_reader import read
from lipserve_export.faces.tflite_to_onnx import convert
from lipserve_export.graphs.graph import NETWORK, Graph


def face_landmarks(mesh: bytes) -> onnx.ModelProto:
    """Return the graph of the contract FACE_LANDMARKS around MediaPipe's face_landmark.tflite."""
    graph = Graph(FACE_LANDMARKS)
    pixels = graph.op("Transpose", graph.cast("IMAGES", TensorProto.FLOAT), perm=[0, 3, 1, 2])
    scaled = graph.op("Mul", pixels, graph.constant(np.array(1 / 255)))
    with graph.scope(NETWORK):
        points, flag = convert(graph, read(mesh), scaled)
    # The network gives x, y, z of each point in turn, already in pixels of its input.
    graph.op("Reshape", points, graph.constant([0, MESH_POINTS, 3]), output="LANDMARKS")
    graph.op("Sigmoid", graph.op("Reshape", flag, graph.constant([0, 1])), output="SCORES")
    return graph.model()
