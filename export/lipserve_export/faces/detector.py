"""The face detector leaf: YuNet, decoded, and the best of its candidates."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, version_converter
from onnx.utils import Extractor

from lipserve.contracts import FACE_DETECTOR, MAX_DETECTIONS
from lipserve.errors import SetupError
from lipserve_export.faces.candidates import STRIDES, best, part, priors, without_regions
from lipserve_export.graphs.graph import NETWORK, OPSET, Graph

_YUNET_HEADS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))


def yunet(data: bytes) -> onnx.ModelProto:
    """Return the graph of the contract FACE_DETECTOR around a YuNet file of the OpenCV Zoo.

    Decoding as in OpenCV's FaceDetectorYN: score = sqrt(class * object), centre = cell + offset and
    size = exp(.), all in strides.
    """
    graph = Graph(FACE_DETECTOR)
    image = graph.op("Transpose", graph.cast("IMAGES", TensorProto.FLOAT), perm=[0, 3, 1, 2])
    with graph.scope(NETWORK):
        maps = iter(graph.splice(_yunet_network(data), {"input": image}))
    heads: dict[str, str] = {}
    for name, channels in _YUNET_HEADS:
        levels = [_rows(graph, next(maps), channels) for _ in STRIDES]
        heads[name] = graph.op("Concat", *levels, axis=1)
    likely = graph.op("Mul", graph.op("Sigmoid", heads["cls"]), graph.op("Sigmoid", heads["obj"]))
    scores = graph.op("Sqrt", likely)
    offsets = graph.op("Concat", heads["bbox"], heads["kps"], axis=2)
    _decode(graph, scores, offsets)
    return graph.model()


def _rows(graph: Graph, feature_map: str, channels: int) -> str:
    """[B, C, H, W] -> [B, H * W, C]."""
    last = graph.op("Transpose", feature_map, perm=[0, 2, 3, 1])
    return graph.op("Reshape", last, graph.constant([0, -1, channels]))


def _decode(graph: Graph, scores: str, offsets: str) -> None:
    """Name the outputs: the best candidates of scores [B, A, 1] and offsets [B, A, 8 or more].

    An offset holds the box's centre and size, then x and y of key points, the eyes first. Only the
    candidates kept are decoded.
    """
    _, kept, origin, unit = best(graph, scores, offsets, priors(), MAX_DETECTIONS, output="SCORES")
    centre = graph.op("Add", origin, graph.op("Mul", part(graph, kept, 0, 2), unit))
    extent = graph.op("Mul", graph.op("Exp", part(graph, kept, 2, 4)), unit)
    half = graph.op("Mul", extent, graph.constant(np.array(0.5)))
    corners = graph.op("Sub", centre, half), graph.op("Add", centre, half)
    graph.op("Concat", *corners, axis=2, output="BOXES")
    origins = graph.op("Concat", origin, origin, axis=2)
    eyes = graph.op("Add", origins, graph.op("Mul", part(graph, kept, 4, 8), unit))
    graph.op("Reshape", eyes, graph.constant([0, MAX_DETECTIONS, 2, 2]), output="EYES")


def _yunet_network(data: bytes) -> onnx.ModelProto:
    """Return YuNet up to its last convolutions, RGB in, in the opset of this package."""
    try:
        model = version_converter.convert_version(onnx.load_from_string(data), OPSET)
        heads = [
            _convolution_before(model, f"{name}_{stride}") for name, _ in _YUNET_HEADS for stride in STRIDES
        ]
        network = Extractor(model).extract_model(["input"], heads)
    except Exception as error:
        raise SetupError(
            f"The detector's file is not a YuNet: {error}",
            "Give face_detection_yunet_2026may.onnx of the OpenCV Zoo, or leave --yunet out.",
        ) from error
    without_regions(network)
    first = next(node for node in network.graph.node if "input" in node.input)
    for tensor in network.graph.initializer:
        if tensor.name == first.input[1]:
            weight = numpy_helper.to_array(tensor)[:, ::-1]  # BGR -> RGB
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weight), tensor.name))
    return network


def _convolution_before(model: onnx.ModelProto, value: str) -> str:
    """Return the feature map that an output is rearranged from."""
    producers = {name: node for node in model.graph.node for name in node.output}
    while producers[value].op_type != "Conv":
        value = producers[value].input[0]
    return value
