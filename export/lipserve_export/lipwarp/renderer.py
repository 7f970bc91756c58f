"""The lip renderer's leaf: scaling, the network without BatchNorm, and rounding in one graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from lipserve.contracts.lipwarp import LIP_RENDERER
from lipserve_export.graphs.fold import folded
from lipserve_export.graphs.graph import NETWORK, Graph
from lipserve_export.lipwarp.renderer_network import FARTHEST, LipRenderer

_HALF_RANGE = 127.5  # levels of 255
_TWICE = np.array([1, 1, 2, 2], np.float32)
_HEADS = [4, 8, 3]  # channels of FLOW, of BLEND at half size, of PAINT


def lip_renderer(model: LipRenderer) -> onnx.ModelProto:
    """Return the graph of the contract LIP_RENDERER around a renderer in inference mode."""
    graph = Graph(LIP_RENDERER)
    pictures = [graph.cast(tensor.name, TensorProto.FLOAT) for tensor in LIP_RENDERER.inputs]
    # -127.5 to 127.5: the first layer's weights do the rest, and its padding is 0 as in training.
    centred = graph.op("Sub", graph.op("Concat", *pictures, axis=3), graph.constant(np.array(_HALF_RANGE)))
    pixels = graph.op("Transpose", centred, perm=[0, 3, 1, 2])
    with graph.scope(NETWORK):
        logits = _network(graph, model, pixels)
    flow, blend, paint = graph.split("Split", logits, graph.constant(_HEADS), outputs=("", "", ""), axis=1)
    flow = graph.op("Mul", graph.op("Tanh", flow), graph.constant(np.array(FARTHEST)))
    graph.op("Transpose", flow, perm=[0, 2, 3, 1], output="FLOW")
    _levels(graph, graph.op("DepthToSpace", blend, blocksize=2, mode="CRD"), "BLEND")
    _levels(graph, paint, "PAINT")
    return graph.model()


def _levels(graph: Graph, logits: str, output: str) -> None:
    levels = graph.op("Mul", graph.op("Sigmoid", logits), graph.constant(np.array(255.0)))
    last = graph.op("Transpose", graph.op("Round", levels), perm=[0, 2, 3, 1])
    graph.cast(last, TensorProto.UINT8, output=output)


def _network(graph: Graph, model: LipRenderer, pixels: str) -> str:
    """Add the layers in the order of `LipRenderer.forward`; return logits [B, 15, S/2, S/2]."""
    first, *levels = ([folded(*pair) for pair in _pairs(encode)] for encode in model.encoder)
    ((weight, bias),) = first
    x = graph.op("Relu", _conv(graph, pixels, _over_pixels(weight) / _HALF_RANGE, bias, stride=2))
    skips = [x]
    for layers in levels:
        for number, (weight, bias) in enumerate(layers):
            x = graph.op("Relu", _conv(graph, x, weight, bias, stride=1 if number else 2))
        skips.append(x)
    for decode, skip in zip(model.decoder, reversed(skips[:-1]), strict=True):
        channels = len(weight)
        ((weight, bias),) = (folded(*pair) for pair in _pairs(decode))
        # The convolution of two maps side by side is the sum of theirs, which saves laying them so.
        below = graph.op("Resize", x, "", graph.constant(_TWICE), mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
        below = _conv(graph, below, weight[:, :channels])
        x = graph.op("Relu", graph.op("Add", _conv(graph, skip, weight[:, channels:], bias), below))
    weight, bias = (value.detach() for value in model.head.parameters())
    return _conv(graph, x, weight, bias)


def _pairs(block: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each convolution of a block with the BatchNorm behind it, in order."""
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def _over_pixels(weight: Tensor) -> Tensor:
    """Return the weight [O, C, 2k, 2k], of stride 2, of what [O, 4C, k, k] does behind `pixel_unshuffle`."""
    outputs, inputs, side, _ = weight.shape
    grouped = weight.reshape(outputs, inputs // 4, 2, 2, side, side)
    return grouped.permute(0, 1, 4, 2, 5, 3).reshape(outputs, inputs // 4, 2 * side, 2 * side)


def _conv(graph: Graph, x: str, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> str:
    side = weight.shape[-1]
    values = [weight] if bias is None else [weight, bias]
    constants = [graph.constant(value.numpy()) for value in values]
    return graph.op(
        "Conv", x, *constants, kernel_shape=[side] * 2, strides=[stride] * 2, pads=[(side - 1) // 2] * 4
    )
