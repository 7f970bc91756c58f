"""Made-up networks with the interfaces of InsightFace's SCRFD and 2d106det, without their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 11  # what the published files have
STRIDES = (8, 16, 32)


@dataclass
class _Net:
    """Nodes of a network, in their order."""

    seed: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def op(self, kind: str, *inputs: str, name: str = "", output: str = "", **attributes: Any) -> str:
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output or f"{name}_out"], name, **attributes))
        return output or f"{name}_out"

    def constant(self, value: NDArray[Any] | list[Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def conv(self, x: str, size: tuple[int, int], stride: int, bias: float = 0.0, gain: float = 1.0) -> str:
        out, channels = size
        kernel = self.rng.normal(0, gain / np.sqrt(9 * channels), (out, channels, 3, 3)).astype(np.float32)
        parts = self.constant(kernel), self.constant(np.full(out, bias, np.float32))
        shape = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4}
        return self.op("Conv", x, *parts, **shape)

    def bytes(self, inputs: tuple[str, list[Any]], outputs: Sequence[tuple[str, list[Any]]]) -> bytes:
        taken = [helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, inputs[1])]
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs]
        graph = helper.make_graph(self.nodes, "made", taken, given, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=6)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def scrfd(seed: int = 0, key_points: bool = True, frozen: bool = False) -> bytes:
    """Return a SCRFD with random weights: its maps' pyramid, heads and outputs, and little else.

    Args:
        frozen: whether its outputs' rows are those of one picture, whatever comes in.
    """
    net = _Net(seed)
    x = net.op("Relu", net.conv("input.1", (8, 3), 2))
    x = net.op("Relu", net.conv(x, (8, 8), 2))
    maps = [net.op("Relu", net.conv(x, (8, 8), 2))]
    for _ in STRIDES[1:]:
        maps.append(net.op("Relu", net.conv(maps[-1], (8, 8), 2)))
    grown = net.op(
        "Resize", maps[1], net.constant(np.zeros(0, np.float32)), net.constant(np.float32([1, 1, 2, 2])),
        mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    maps[0] = net.op("Add", maps[0], grown)
    outputs: list[tuple[str, list[Any]]] = []
    for kind, columns in enumerate((1, 4, 10)[: 3 if key_points else 2]):
        for stride, x in zip(STRIDES, maps, strict=True):
            bias, gain = ((0.0, 8.0), (3.0, 2.0), (0.0, 2.0))[kind]
            x = net.conv(x, (2 * columns, 8), 1, bias, gain)
            if kind == 1:
                x = net.op("Relu", net.op("Mul", x, net.constant(np.float32([1.25]))))
            x = net.op("Transpose", x, perm=[0, 2, 3, 1])
            rows = 2 * (640 // stride) ** 2
            x = net.op("Reshape", x, net.constant(np.int64([rows if frozen else -1, columns])))
            outputs.append((net.op("Sigmoid", x) if kind == 0 else x, [rows, columns]))
    return net.bytes(("input.1", [1, 3, "?", "?"]), outputs)


def landmarks106(seed: int = 0, scales: bool = True, points: NDArray[Any] | None = None) -> bytes:
    """Return a 2d106det with random weights, or one that finds the same points in every picture.

    Args:
        scales: whether it scales the pixels itself, as the published file does.
        points: [106, 2] in pixels of its input.
    """
    net = _Net(seed)
    x = "data"
    if scales:
        x = net.op("Sub", x, net.constant(np.float32([127.5])), name="_minusscalar0")
        x = net.op("Mul", x, net.constant(np.float32([1 / 128])), name="_mulscalar0")
    x = net.conv(x, (4, 3), 8)
    statistics = [np.ones(4), np.full(4, 0.1), np.full(4, 0.02), np.full(4, 0.5)]
    x = net.op(
        "BatchNormalization", x, *(net.constant(s.astype(np.float32)) for s in statistics), epsilon=1e-3
    )
    x = net.op("PRelu", x, net.constant(np.full((4, 1, 1), 0.25, np.float32)))
    x = net.op("Flatten", net.op("Relu", net.conv(x, (4, 4), 8)), axis=1)
    weight = net.rng.normal(0, 0.2 if points is None else 0.0, (212, 36)).astype(np.float32)
    bias = np.zeros(212) if points is None else points.ravel() / 96 - 1
    x = net.op("Gemm", x, net.constant(weight), net.constant(bias.astype(np.float32)), transB=1, output="fc1")
    return net.bytes(("data", ["None", 3, 192, 192]), [(x, [1, 212])])
