"""The leaf of 106 landmarks around a user's 2d106det, of InsightFace's packs: what LatentSync aligns by.

Never seen with the real weights, which are for non-commercial use. It is held to the interface that
InsightFace publishes (`model_zoo/landmark.py`): one input [B, 3, 192, 192], one output [B, 212].
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, version_converter

from lipserve.contracts import FACE_LANDMARKS_106, MESH_SIZE, REFERENCE_POINTS
from lipserve.errors import SetupError
from lipserve_export.faces.candidates import agree
from lipserve_export.graphs.graph import NETWORK, OPSET, Graph

_LOOKED_AT = 8  # nodes from the first on, among which the network's own scaling of pixels is looked for


def face_landmarks_106(data: bytes) -> onnx.ModelProto:
    """Return the graph of the contract FACE_LANDMARKS_106 around a 2d106det.

    The network gives x and y from -1 to 1 over its input. Pixels are scaled here where it does not do so
    itself. It is given blue, green, red, as by LatentSync (`scrfd`).

    Raises:
        SetupError: the file is no 2d106det of that interface.
    """
    network = _network(data)
    graph = Graph(FACE_LANDMARKS_106)
    swapped = graph.op("Gather", graph.cast("IMAGES", TensorProto.FLOAT), graph.constant([2, 1, 0]), axis=3)
    image = graph.op("Transpose", swapped, perm=[0, 3, 1, 2])
    if not _scales(network):
        centred = graph.op("Sub", image, graph.constant(np.array(127.5)))
        image = graph.op("Mul", centred, graph.constant(np.array(1 / 128)))
    with graph.scope(NETWORK):
        (flat,) = graph.splice(network, {network.graph.input[0].name: image})
    points = graph.op("Reshape", flat, graph.constant([0, REFERENCE_POINTS, 2]))
    half = graph.constant(np.array(MESH_SIZE / 2))
    graph.op("Mul", graph.op("Add", points, graph.constant(np.array(1.0))), half, output="LANDMARKS")
    return graph.model()


def _scales(network: onnx.ModelProto) -> bool:
    """Return whether the network scales its pixels itself: InsightFace's rule, which goes by nodes' names."""
    first = [node.name for node in network.graph.node[:_LOOKED_AT]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in first)
    multiplies = any(name.startswith(("Mul", "_mul")) for name in first)
    return (subtracts and multiplies) or "bn_data" in first[:3]


def _network(data: bytes) -> onnx.ModelProto:
    """Return the network in the opset of this package, or raise SetupError."""
    try:
        network = version_converter.convert_version(onnx.load_from_string(data), OPSET)
        initializers = {tensor.name for tensor in network.graph.initializer}
        inputs = [value for value in network.graph.input if value.name not in initializers]
        shapes = [
            [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
            for value in (*inputs, *network.graph.output)
        ]
        wanted = [[3, MESH_SIZE, MESH_SIZE], [2 * REFERENCE_POINTS]]
        if len(shapes) != 2 or not all(map(agree, shapes, wanted)):
            raise ValueError(f"its inputs and outputs are {shapes}, not {wanted}")
    except Exception as error:
        raise SetupError(
            f"The file is not a 2d106det: {error}.",
            "Give 2d106det.onnx of InsightFace's buffalo_l with --landmarks106, or leave it out.",
        ) from error
    return network
