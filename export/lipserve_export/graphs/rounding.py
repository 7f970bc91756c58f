"""What a half precision graph computes where half precision is really rounded to, on any machine.

ONNX Runtime has few half precision kernels for CPUs: around the other nodes it puts casts to FP32, and drops
those between two of them, so that values between layers are never rounded (1.31, optimisations off or on). A
GPU multiplies halves, adds up in FP32 and rounds every result.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
# What these give is among what they are given.
_MOVES = frozenset(
    {
        "Concat",
        "Expand",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


def rounded(half: ir.Model) -> ir.Model:
    """Return an FP32 graph that rounds to half precision whatever is half precision in `half`.

    Types of all values are known. Each half node computes in FP32 on what was rounded before, and its results
    are rounded.
    """
    model = half.clone()
    graph = model.graph
    for weight in graph.initializers.values():
        if weight.dtype == _HALF:
            _widen(weight)
    for node in list(graph):
        for value in node.outputs:
            if value.dtype != _HALF:
                continue
            value.type = ir.TensorType(_FLOAT)
            if node.op_type == "Cast":
                node.attributes["to"] = ir.AttrInt64("to", _FLOAT.value)
            if node.op_type not in _MOVES:
                _round(graph, node, value)
    return model


def _widen(weight: ir.Value) -> None:
    """Make a half weight FP32, computed when it is read: a whole UNet3D is 5 GB."""
    half, shape = weight.const_value, weight.shape
    assert half is not None
    assert shape is not None
    weight.const_value = ir.LazyTensor(
        lambda: ir.tensor(half.numpy().astype(np.float32)), dtype=_FLOAT, shape=shape, name=str(weight.name)
    )
    weight.type = ir.TensorType(_FLOAT)


def _round(graph: ir.Graph, producer: ir.Node, value: ir.Value) -> None:
    """Let every reader of a value read it after a cast to half precision and back."""
    there = _cast(value, _HALF)
    back = _cast(there.outputs[0], _FLOAT)
    value.replace_all_uses_with(back.outputs[0])
    there.replace_input_with(0, value)
    graph.insert_after(producer, [there, back])


def _cast(value: ir.Value, to: ir.DataType) -> ir.Node:
    node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", to.value)], name=f"{value.name}/{to.name}")
    result = node.outputs[0]
    result.name, result.shape, result.type = str(node.name), value.shape, ir.TensorType(to)
    return node
