"""The face detector leaf: one contract around YuNet, or around both ranges of BlazeFace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, version_converter
from onnx.utils import Extractor

from lipserve.contracts import DETECTOR_SIZE, FACE_DETECTOR, MAX_DETECTIONS
from lipserve.errors import SetupError
from lipserve_export.graph import NETWORK, OPSET, Graph
from lipserve_export.tflite_reader import read
from lipserve_export.tflite_to_onnx import convert

Priors = NDArray[np.float32]
"""[A, 3]: x and y of an anchor in input pixels, and the pixels of one unit of its regression."""

_YUNET_STRIDES = (8, 16, 32)
_YUNET_HEADS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
_SHORT_RANGE = (128, ((8, 2), (16, 6)))  # input side; stride and anchors per cell of each feature map
_FULL_RANGE = (192, ((4, 1),))


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
        levels = [_rows(graph, next(maps), channels) for _ in _YUNET_STRIDES]
        heads[name] = graph.op("Concat", *levels, axis=1)
    likely = graph.op("Mul", graph.op("Sigmoid", heads["cls"]), graph.op("Sigmoid", heads["obj"]))
    scores = graph.op("Sqrt", likely)
    offsets = graph.op("Concat", heads["bbox"], heads["kps"], axis=2)
    _decode(graph, scores, offsets, _yunet_priors(), exponential=True)
    return graph.model()


def blazeface(short_range: bytes, full_range: bytes) -> onnx.ModelProto:
    """Return the graph of the contract FACE_DETECTOR around both ranges of MediaPipe's BlazeFace.

    Short range is sure of large faces, full range of small ones; their boxes are merged by score.
    """
    graph = Graph(FACE_DETECTOR)
    image = graph.op("Transpose", graph.cast("IMAGES", TensorProto.FLOAT), perm=[0, 3, 1, 2])
    # Both shrink by whole-pixel averages, so that the networks see no aliasing: 640 -> 128 in one go,
    # 640 -> 384 -> 192 because 640 / 192 is no whole number.
    scale = graph.constant(np.array([1, 1, 384 / DETECTOR_SIZE, 384 / DETECTOR_SIZE], np.float32))
    halfway = graph.op("Resize", image, "", scale, mode="linear", coordinate_transformation_mode="half_pixel")
    small = _signed(graph, _average(graph, image, 5))
    medium = _signed(graph, _average(graph, halfway, 2))
    with graph.scope(NETWORK):
        short_boxes, short_scores = convert(graph, read(short_range), small)
        full_boxes, full_scores = convert(graph, read(full_range), medium)
    scores = graph.op("Sigmoid", graph.op("Concat", short_scores, full_scores, axis=1))
    offsets = graph.op("Concat", short_boxes, full_boxes, axis=1)
    priors = np.concatenate([_blazeface_priors(*_SHORT_RANGE), _blazeface_priors(*_FULL_RANGE)])
    _decode(graph, scores, offsets, priors, exponential=False)
    return graph.model()


def _rows(graph: Graph, feature_map: str, channels: int) -> str:
    """[B, C, H, W] -> [B, H * W, C]."""
    last = graph.op("Transpose", feature_map, perm=[0, 2, 3, 1])
    return graph.op("Reshape", last, graph.constant([0, -1, channels]))


def _average(graph: Graph, image: str, pixels: int) -> str:
    return graph.op("AveragePool", image, kernel_shape=[pixels] * 2, strides=[pixels] * 2)


def _signed(graph: Graph, image: str) -> str:
    """0..255 -> -1..1."""
    scaled = graph.op("Mul", image, graph.constant(np.array(2 / 255)))
    return graph.op("Sub", scaled, graph.constant(np.array(1.0)))


def _decode(graph: Graph, scores: str, offsets: str, priors: Priors, exponential: bool) -> None:
    """Name the outputs: the best candidates of scores [B, A, 1] and offsets [B, A, 8 or more].

    An offset holds the box's centre and size, then x and y of key points, the eyes first. Only the
    candidates kept are decoded.
    """
    flat = graph.op("Reshape", scores, graph.constant([0, -1]))
    _, best = graph.split("TopK", flat, graph.constant([MAX_DETECTIONS]), outputs=("SCORES", ""), axis=1)
    rows = graph.op("Unsqueeze", best, graph.constant([2]))
    kept = graph.op("GatherND", offsets, rows, batch_dims=1)
    prior = graph.op("Gather", graph.constant(priors), best, axis=0)

    def part(value: str, first: int, last: int) -> str:
        bounds = (graph.constant([first]), graph.constant([last]), graph.constant([2]))
        return graph.op("Slice", value, *bounds)

    origin, unit = part(prior, 0, 2), part(prior, 2, 3)
    centre = graph.op("Add", origin, graph.op("Mul", part(kept, 0, 2), unit))
    extent = part(kept, 2, 4)
    extent = graph.op("Mul", graph.op("Exp", extent) if exponential else extent, unit)
    half = graph.op("Mul", extent, graph.constant(np.array(0.5)))
    corners = graph.op("Sub", centre, half), graph.op("Add", centre, half)
    graph.op("Concat", *corners, axis=2, output="BOXES")
    origins = graph.op("Concat", origin, origin, axis=2)
    eyes = graph.op("Add", origins, graph.op("Mul", part(kept, 4, 8), unit))
    graph.op("Reshape", eyes, graph.constant([0, MAX_DETECTIONS, 2, 2]), output="EYES")


def _grid(side: int, per_cell: int) -> NDArray[np.float32]:
    """Return column and row [side * side * per_cell, 2] of every anchor, row by row."""
    rows, columns = np.mgrid[:side, :side]
    cells: NDArray[np.float32] = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    anchors: NDArray[np.float32] = cells.repeat(per_cell, axis=0)
    return anchors


def _yunet_priors() -> Priors:
    levels = []
    for stride in _YUNET_STRIDES:
        cells = _grid(DETECTOR_SIZE // stride, 1) * stride
        levels.append(np.column_stack([cells, np.full(len(cells), stride, np.float32)]))
    return np.concatenate(levels)


def _blazeface_priors(size: int, maps: Sequence[tuple[int, int]]) -> Priors:
    """Anchors at cell centres; regressions in pixels of the network's own input."""
    unit = DETECTOR_SIZE / size
    levels = []
    for stride, per_cell in maps:
        centres = (_grid(size // stride, per_cell) + 0.5) * stride * unit
        levels.append(np.column_stack([centres, np.full(len(centres), unit)]))
    priors: Priors = np.concatenate(levels).astype(np.float32)
    return priors


def _yunet_network(data: bytes) -> onnx.ModelProto:
    """Return YuNet up to its last convolutions, RGB in, in the opset of this package."""
    try:
        model = version_converter.convert_version(onnx.load_from_string(data), OPSET)
        heads = [
            _convolution_before(model, f"{name}_{stride}")
            for name, _ in _YUNET_HEADS
            for stride in _YUNET_STRIDES
        ]
        network = Extractor(model).extract_model(["input"], heads)
    except Exception as error:
        raise SetupError(
            f"The detector's file is not a YuNet: {error}",
            "Give face_detection_yunet_2026may.onnx of the OpenCV Zoo, or leave --yunet out.",
        ) from error
    for node in network.graph.node:
        if node.op_type == "Resize":
            node.input[1] = ""  # the region that only another mode reads, given as an empty constant
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
