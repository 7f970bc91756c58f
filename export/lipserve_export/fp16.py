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
    nodes = list(graph.graph.node)
    inside = {name for node in nodes if _is_inside(node) for name in node.output}
    weights = {tensor.name: tensor for tensor in half.graph.initializer}
    crossed: dict[str, str] = {}
    typed: list[onnx.NodeProto] = []

    def crossing(value: str, to: int) -> str:
        if value not in crossed:
            crossed[value] = f"{value}:{'half' if to == TensorProto.FLOAT16 else 'float'}"
            cast = helper.make_node("Cast", [value], [crossed[value]], name=f"{crossed[value]}/Cast", to=to)
            typed.append(cast)
        return crossed[value]

    for node in nodes:
        added = onnx.NodeProto()
        added.CopyFrom(node)
        for position, value in enumerate(node.input):
            if not _is_inside(node):
                if value in inside:
                    added.input[position] = crossing(value, TensorProto.FLOAT)
            elif value in weights:
                # Resize takes its scales as float whatever the type of what it resizes.
                if node.op_type != "Resize":
                    _halve(weights[value])
            elif value and value not in inside:
                added.input[position] = crossing(value, TensorProto.FLOAT16)
        typed.append(added)
    del half.graph.node[:]
    half.graph.node.extend(typed)
    onnx.checker.check_model(half, full_check=True)
    return half


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
