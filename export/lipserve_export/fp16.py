"""The strongly typed FP16 form of a graph: precision lives in the graph, not in a builder's flags."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipserve.errors import SetupError
from lipserve_export.graph import NETWORK

_HALF_MAX = float(np.finfo(np.float16).max)


def to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` with the nodes in the scope `network` in half precision, weights and values.

    What is outside keeps FP32: scaling of the pixels, sigmoids, decoding, selection and rounding. Inputs
    and outputs keep their types. Casts stand where a value crosses the border.

    Raises:
        SetupError: a weight is beyond the range of half precision.
    """
    half = onnx.ModelProto()
    half.CopyFrom(graph)
    _halve_weights(half)
    nodes = list(half.graph.node)
    constants = {tensor.name for tensor in half.graph.initializer}
    inside = {name for node in nodes if _is_inside(node) for name in node.output}
    crossed: dict[str, str] = {}
    typed: list[onnx.NodeProto] = []
    for node in nodes:
        for position, value in enumerate(node.input):
            if not value or value in constants or (value in inside) == _is_inside(node):
                continue
            if value not in crossed:
                to, suffix = (
                    (TensorProto.FLOAT16, "half") if _is_inside(node) else (TensorProto.FLOAT, "float")
                )
                crossed[value] = f"{value}:{suffix}"
                cast = helper.make_node(
                    "Cast", [value], [crossed[value]], name=f"{crossed[value]}/Cast", to=to
                )
                typed.append(cast)
            node.input[position] = crossed[value]
        typed.append(node)
    retyped = onnx.ModelProto()
    retyped.CopyFrom(half)
    del retyped.graph.node[:]
    retyped.graph.node.extend(typed)
    onnx.checker.check_model(retyped, full_check=True)
    return retyped


def _halve_weights(model: onnx.ModelProto) -> None:
    """Make the float constants of the nodes in the scope `network` half, in place."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        # Resize takes its scales as float whatever the type of what it resizes.
        if _is_inside(node) and node.op_type != "Resize":
            for value in node.input:
                if value in weights:
                    _halve(weights[value])


def _is_inside(node: onnx.NodeProto) -> bool:
    return node.name.startswith(f"{NETWORK}/")


def _halve(weight: onnx.TensorProto) -> None:
    if weight.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(weight)
    if not (np.abs(values) <= _HALF_MAX).all():
        raise SetupError(
            f"A weight is beyond half precision: {np.abs(values).max():.3g} in {weight.name}.",
            "The checkpoint is damaged: give another.",
        )
    weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), weight.name))
