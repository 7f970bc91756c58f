"""Parameters and multiplications, counted in both ways that the literature uses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import shape_inference


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one item.

    Attributes:
        input_grid: every transposed convolution counted on its input grid: the real multiplications.
        output_grid: transposed convolutions counted on their output grid, zeros included, as the
            counters that the papers used do.
    """

    input_grid: int
    output_grid: int


def parameters(graph: onnx.ModelProto) -> int:
    """Return the number of learnt values in the convolutions of a graph (BatchNorm already folded)."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.graph.initializer}
    return sum(sizes[name] for node in _convolutions(graph) for name in node.input[1:])


def macs(graph: onnx.ModelProto) -> Macs:
    """Return the multiplications of a graph's convolutions for a batch of one."""
    counted = layer_macs(graph).values()
    return Macs(sum(one.input_grid for one in counted), sum(one.output_grid for one in counted))


def layer_macs(graph: onnx.ModelProto) -> dict[str, Macs]:
    """Return the multiplications of each convolution for a batch of one, by the names of the nodes."""
    single = onnx.ModelProto()
    single.CopyFrom(graph)
    for value in (*single.graph.input, *single.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = shape_inference.infer_shapes(single, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    counted: dict[str, Macs] = {}
    for node in _convolutions(graph):
        # [O, I / groups, k, k], or [I, O, k, k] where transposed: products of one output, or of one input.
        taps = math.prod(weights[node.input[1]][1:])
        before, after = math.prod(shapes[node.input[0]]), math.prod(shapes[node.output[0]])
        if node.op_type == "Conv":
            counted[node.name] = Macs(after * taps, after * taps)
        else:
            channels = weights[node.input[1]]
            counted[node.name] = Macs(before * taps, after * taps // channels[1] * channels[0])
    return counted


def _convolutions(graph: onnx.ModelProto) -> Iterable[onnx.NodeProto]:
    return (node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose"))
