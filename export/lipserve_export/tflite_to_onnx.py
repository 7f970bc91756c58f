"""TFLite to ONNX: the operators of MediaPipe's face networks, in NCHW and with a free batch axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from lipserve.errors import SetupError
from lipserve_export.graph import Graph
from lipserve_export.tflite_reader import Network, Operator

_TO_NCHW = (0, 3, 1, 2)


def convert(graph: Graph, network: Network, image: str) -> list[str]:
    """Add `network` to `graph` and return its outputs.

    `image` is float [B, C, H, W]. Four-dimensional outputs are [B, C, H, W] too, others as in the file.
    """
    return _Conversion(graph, network, image).run()


class _Conversion:
    def __init__(self, graph: Graph, network: Network, image: str) -> None:
        self.graph = graph
        self.network = network
        self.values = {network.inputs[0]: image}
        # Spatial paddings wait here for the convolution that takes them in.
        self.paddings: dict[int, tuple[str, tuple[int, int, int, int]]] = {}

    def run(self) -> list[str]:
        for operator in self.network.operators:
            emit = getattr(self, f"_{operator.code.lower()}", None)
            if emit is None:
                raise SetupError(
                    f"The TFLite file holds a {operator.code}, which the converter does not know.",
                    "Use the files of mediapipe==0.10.21.",
                )
            result = emit(operator)
            if result is not None:
                self.values[operator.outputs[0]] = result
        return [self._value(index) for index in self.network.outputs]

    def _value(self, index: int) -> str:
        if index in self.paddings:
            value, (top, left, bottom, right) = self.paddings[index]
            pads = self.graph.constant([0, 0, top, left, 0, 0, bottom, right])
            self.values[index] = self.graph.op("Pad", value, pads, mode="constant")
            del self.paddings[index]
        return self.values[index]

    def _weight(self, index: int, axes: tuple[int, ...] | None = None) -> str:
        array = self.network.constants[index]
        return self.graph.constant(array if axes is None else array.transpose(axes))

    def _activated(self, value: str, function: int) -> str:
        kinds = tflite.ActivationFunctionType
        if function == kinds.NONE:
            return value
        if function == kinds.RELU:
            return self.graph.op("Relu", value)
        if function == kinds.RELU6:
            low, high = (self.graph.constant(np.array(bound)) for bound in (0.0, 6.0))
            return self.graph.op("Clip", value, low, high)
        raise SetupError(
            f"The TFLite file fuses an unknown activation ({function}).", "Use mediapipe==0.10.21."
        )

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
        if source in self.paddings:
            value, extra = self.paddings[source]
            window["pads"] = [own + more for own, more in zip(window["pads"], extra, strict=True)]
        else:
            value = self._value(source)
        result = self.graph.op(
            "Conv", value, self._weight(weight, axes), self._weight(bias), group=group, **window
        )
        return self._activated(result, operator.options.FusedActivationFunction())

    def _conv_2d(self, operator: Operator) -> str:
        return self._convolution(operator, _TO_NCHW, 1)  # OHWI -> OIHW

    def _depthwise_conv_2d(self, operator: Operator) -> str:
        channels = self.network.constants[operator.inputs[1]].shape[3]
        return self._convolution(operator, (3, 0, 1, 2), channels)  # 1HWC -> C1HW

    def _max_pool_2d(self, operator: Operator) -> str:
        kernel = (operator.options.FilterHeight(), operator.options.FilterWidth())
        return self.graph.op("MaxPool", self._value(operator.inputs[0]), **self._window(operator, kernel))

    def _pad(self, operator: Operator) -> str | None:
        amounts: NDArray[Any] = self.network.constants[operator.inputs[1]]
        value = self._value(operator.inputs[0])
        if not amounts[[0, 3]].any():
            (top, bottom), (left, right) = amounts[1:3].tolist()
            self.paddings[operator.outputs[0]] = (value, (top, left, bottom, right))
            return None
        nchw = amounts[list(_TO_NCHW)]
        pads = self.graph.constant([int(n) for n in (*nchw[:, 0], *nchw[:, 1])])
        return self.graph.op("Pad", value, pads, mode="constant")

    def _add(self, operator: Operator) -> str:
        result = self.graph.op("Add", *(self._value(index) for index in operator.inputs))
        return self._activated(result, operator.options.FusedActivationFunction())

    def _relu(self, operator: Operator) -> str:
        return self.graph.op("Relu", self._value(operator.inputs[0]))

    def _prelu(self, operator: Operator) -> str:
        """a x + (1 - a) relu(x), the products as depthwise convolutions.

        ONNX Runtime's own PRelu, and a plain product, leave its blocked memory layout.
        """
        x = self._value(operator.inputs[0])
        slope = self.network.constants[operator.inputs[1]].reshape(-1, 1, 1, 1)

        def scaled(value: str, factor: NDArray[Any]) -> str:
            return self.graph.op("Conv", value, self.graph.constant(factor), group=len(factor))

        return self.graph.op("Add", scaled(x, slope), scaled(self.graph.op("Relu", x), 1.0 - slope))

    def _reshape(self, operator: Operator) -> str:
        value = self._value(operator.inputs[0])
        shape = self.network.shapes[operator.outputs[0]]
        if len(self.network.shapes[operator.inputs[0]]) == 4:
            value = self.graph.op("Transpose", value, perm=[0, 2, 3, 1])
        return self.graph.op("Reshape", value, self.graph.constant([0, *shape[1:]]))

    def _concatenation(self, operator: Operator) -> str:
        shape = self.network.shapes[operator.outputs[0]]
        axis = operator.options.Axis() % len(shape)
        if len(shape) == 4:
            axis = _TO_NCHW.index(axis)
        return self.graph.op("Concat", *(self._value(index) for index in operator.inputs), axis=axis)

    def _resize_bilinear(self, operator: Operator) -> str:
        source, target = (self.network.shapes[index] for index in (operator.inputs[0], operator.outputs[0]))
        scales = [1.0, 1.0, target[1] / source[1], target[2] / source[2]]
        if operator.options.AlignCorners():
            mode = "align_corners"
        else:
            mode = "half_pixel" if operator.options.HalfPixelCenters() else "asymmetric"
        return self.graph.op(
            "Resize",
            self._value(operator.inputs[0]),
            "",
            self.graph.constant(np.array(scales, np.float32)),
            mode="linear",
            coordinate_transformation_mode=mode,
        )

    def _depth_to_space(self, operator: Operator) -> str:
        return self.graph.op(
            "DepthToSpace",
            self._value(operator.inputs[0]),
            blocksize=operator.options.BlockSize(),
            mode="DCR",
        )
