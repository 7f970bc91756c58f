"""Face detector leaf around a user's SCRFD of InsightFace (such as `det_10g.onnx` of buffalo_l).

Never seen with the real weights, which are for non-commercial use. It is held to the interface that
InsightFace publishes (`model_zoo/scrfd.py`): one input [B, 3, H, W]; nine outputs, of strides 8, 16 and 32
the scores, the distances to a box's edges and those to five points, of two anchors in each cell.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, version_converter

from lipserve.contracts import DETECTOR_SIZE, FACE_DETECTOR, MAX_DETECTIONS
from lipserve.errors import SetupError
from lipserve_export.faces.candidates import STRIDES, agree, alone, best, part, priors, rows, without_regions
from lipserve_export.graphs.graph import NETWORK, OPSET, Graph

_ANCHORS = 2
_CHANNELS = (1, 4, 10)  # of an anchor: score, distances to left, top, right, bottom, and x, y of five points
_CONSIDERED = 256  # best candidates before suppression: a large face alone has dozens
_NMS_IOU = 0.4  # InsightFace's


def scrfd(data: bytes) -> onnx.ModelProto:
    """Return the graph of the contract FACE_DETECTOR around a SCRFD with key points.

    Decoded as in InsightFace: an anchor lies on its cell's corner, and distances are in strides. The network
    is given blue, green, red: LatentSync hands InsightFace its pictures with these exchanged, and the crops
    that its UNet was trained on were cut by what the detector saw then.

    Raises:
        SetupError: the file is no SCRFD of that interface.
    """
    network = _network(data)
    graph = Graph(FACE_DETECTOR)
    swapped = graph.op("Gather", graph.cast("IMAGES", TensorProto.FLOAT), graph.constant([2, 1, 0]), axis=3)
    planes = graph.op("Transpose", swapped, perm=[0, 3, 1, 2])
    centred = graph.op("Sub", planes, graph.constant(np.array(127.5)))
    image = graph.op("Mul", centred, graph.constant(np.array(1 / 128)))
    with graph.scope(NETWORK):
        outputs = graph.splice(network, {network.graph.input[0].name: image})
    heads = [_head(graph, outputs[3 * i : 3 * i + 3], channels) for i, channels in enumerate(_CHANNELS)]
    offsets = graph.op("Concat", *heads[1:], axis=2)
    _decode(graph, *best(graph, heads[0], offsets, priors(_ANCHORS), _CONSIDERED))
    return graph.model()


def _head(graph: Graph, levels: list[str], channels: int) -> str:
    """Return one kind of output of all strides, [B, A, C]; a network may give it as [B * A, C]."""
    anchors = [_ANCHORS * (DETECTOR_SIZE // stride) ** 2 for stride in STRIDES]
    apart = [
        graph.op("Reshape", level, graph.constant([-1, count, channels]))
        for level, count in zip(levels, anchors, strict=True)
    ]
    return graph.op("Concat", *apart, axis=1)


def _decode(graph: Graph, scores: str, offsets: str, origin: str, unit: str) -> None:
    """Name the outputs: of the candidates, best first, those that are faces of their own."""

    def distance(first: int, last: int) -> str:
        return graph.op("Mul", part(graph, offsets, first, last), unit)

    corners = graph.op("Sub", origin, distance(0, 2)), graph.op("Add", origin, distance(2, 4))
    boxes = graph.op("Concat", *corners, axis=2)
    origins = graph.op("Concat", origin, origin, axis=2)
    eyes = graph.op("Add", origins, distance(4, 8))
    kept = graph.op("Squeeze", alone(graph, boxes, _CONSIDERED, _NMS_IOU), graph.constant([2]))
    faces = graph.op("Mul", scores, kept)
    size = graph.constant([MAX_DETECTIONS])
    _, index = graph.split("TopK", faces, size, outputs=("SCORES", ""), axis=1)
    rows(graph, boxes, index, output="BOXES")
    chosen = rows(graph, eyes, index)
    graph.op("Reshape", chosen, graph.constant([0, MAX_DETECTIONS, 2, 2]), output="EYES")


def _network(data: bytes) -> onnx.ModelProto:
    """Return the network in the opset of this package, or raise SetupError."""
    try:
        network = version_converter.convert_version(onnx.load_from_string(data), OPSET)
        initializers = {tensor.name for tensor in network.graph.initializer}
        inputs = [value.name for value in network.graph.input if value.name not in initializers]
        if len(inputs) != 1 or len(network.graph.output) != len(_CHANNELS) * len(STRIDES):
            raise ValueError(
                f"it has {len(inputs)} inputs and {len(network.graph.output)} outputs, not 1 and 9"
            )
        channels = [value.type.tensor_type.shape.dim[-1].dim_value for value in network.graph.output]
        wanted = [count for count in _CHANNELS for _ in STRIDES]
        if not agree(channels, wanted):
            raise ValueError(f"its outputs have {channels} columns, not {wanted}")
    except Exception as error:
        raise SetupError(
            f"The file is not a SCRFD with key points: {error}.",
            "Give det_10g.onnx of InsightFace's buffalo_l with --scrfd, or leave it out.",
        ) from error
    without_regions(network)
    return network
