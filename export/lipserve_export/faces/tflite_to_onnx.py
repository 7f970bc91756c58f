"""TFLite to ONNX: the operators of MediaPipe's face mesh, in NCHW and with a free batch axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tflite
from numpy.typing import NDArray

from lipserve.errors import SetupError
from lipserve_export.faces.tflite_reader import Network, Operator
from lipserve_export.graphs.graph import Graph

_TO_NCHW = (0, 3, 1, 2)


def convert(graph: Graph, network: Network, image: str) -> list[str]:
    """Add `network` to `graph` and return its outputs; they and `image` are float [B, C, H, W]."""
    return _Conversion(graph, network, image).run()


def _is_fused(operator: Operator) -> bool:
    """Tell whether an activation is part of an operator."""
    none = tflite.ActivationFunctionType.NONE
    return operator.options is not None and operator.options.FusedActivationFunction() != none


class _Conversion:
    def __init__(self, graph: Graph, network: Network, image: str) -> None:
        self.graph = graph
        self.network = network
        self.values = {network.inputs[0]: image}

    def run(self) -> list[str]:
        for operator in self.network.operators:
            emit = getattr(self, f"_{operator.code.lower()}", None)
            if emit is None or _is_fused(operator):
                raise SetupError(
                    f"The TFLite file contains a form of {operator.code} that the converter does not know.",
                    "Use the files of mediapipe==0.10.21.",
                )
            self.values[operator.outputs[0]] = emit(operator)
        return [self.values[index] for index in self.network.outputs]

    def _weight(self, index: int, axes: tuple[int, ...] | None = None) -> str:
        array = self.network.constants[index]
        return self.graph.constant(array if axes is None else array.transpose(axes))

    def _window(self, operator: Operator, kernel: Sequence[int]) -> dict[str, Any]:
        """Return kernel, strides and pads [top, left, bottom, right] of a convolution or a pooling."""
        options = operator.options
        strides = [options.StrideH(), options.StrideW()]
        pads = [0, 0, 0, 0]
        if options.Padding() == tflite.Padding.SAME:
            # TensorFlow's SAME: as little as needed, the odd pixel at the end.
            sizes = self.network.shapes[operator.inputs[0]][1:3]
            needed = [
                max((-(-size // stride) - 1) * stride + extent - size, 0)
                for size, stride, extent in zip(sizes, strides, kernel, strict=True)
            ]
            pads = [*(total // 2 for total in needed), *(total - total // 2 for total in needed)]
        return {"kernel_shape": list(kernel), "strides": strides, "pads": pads}

    def _convolution(self, operator: Operator, axes: tuple[int, ...], group: int) -> str:
        source, weight, bias = operator.inputs
        window = self._window(operator, self.network.constants[weight].shape[1:3])
        value, weights = self.values[source], self._weight(weight, axes)
        return self.graph.op("Conv", value, weights, self._weight(bias), group=group, **window)

    def _conv_2d(self, operator: Operator) -> str:
        return self._convolution(operator, _TO_NCHW, 1)  # OHWI -> OIHW

    def _depthwise_conv_2d(self, operator: Operator) -> str:
        channels = self.network.constants[operator.inputs[1]].shape[3]
        return self._convolution(operator, (3, 0, 1, 2), channels)  # 1HWC -> C1HW

    def _max_pool_2d(self, operator: Operator) -> str:
        kernel = (operator.options.FilterHeight(), operator.options.FilterWidth())
        return self.graph.op("MaxPool", self.values[operator.inputs[0]], **self._window(operator, kernel))

    def _pad(self, operator: Operator) -> str:
        amounts = self.network.constants[operator.inputs[1]][list(_TO_NCHW)]
        pads = self.graph.constant([int(n) for n in (*amounts[:, 0], *amounts[:, 1])])
        return self.graph.op("Pad", self.values[operator.inputs[0]], pads, mode="constant")

    def _add(self, operator: Operator) -> str:
        return self.graph.op("Add", *(self.values[index] for index in operator.inputs))

    def _prelu(self, operator: Operator) -> str:
        """a x + (1 - a) relu(x), the products as depthwise convolutions.

        ONNX Runtime's own PRelu, and a plain product, leave its blocked memory layout.
        """
        x = self.values[operator.inputs[0]]
        slope = self.network.constants[operator.inputs[1]].reshape(-1, 1, 1, 1)

        def scaled(value: str, factor: NDArray[Any]) -> str:
            return self.graph.op("Conv", value, self.graph.constant(factor), group=len(factor))

        return self.graph.op("Add", scaled(x, slope), scaled(self.graph.op("Relu", x), 1.0 - slope))
