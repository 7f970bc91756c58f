"""Move nodes of an FP32 graph to half precision: precision lives in the graph, not in a builder's flags."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from lipserve.errors import SetupError

_HALF_MAX = float(np.finfo(np.float16).max)
_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_SUFFIX = {_FLOAT: "float", _HALF: "half"}
# What these give has the type that an attribute names.
_TYPED = frozenset({"Cast", "Constant", "ConstantOfShape", "EyeLike", "Range"})


def retype(model: ir.Model, halved: Collection[ir.Node]) -> None:
    """Let `halved` compute in half precision, in place; every value of the graph has a known type.

    A value that crosses the border is cast once, where it comes into being; a weight becomes half where it
    lies, and has two forms where both sides use it. The graph's inputs and outputs keep their types.

    Raises:
        SetupError: a weight is beyond the range of half precision.
    """
    graph = model.graph
    half_nodes = {node for node in halved if node.op_type not in _TYPED}
    uses = {node: list(_float_inputs(node)) for node in graph}
    for node in half_nodes:
        for result in node.outputs:
            if result.dtype == _FLOAT:
                result.type = ir.TensorType(_HALF)
    forms = _restore_outputs(graph)
    for node, inputs in uses.items():
        for position in inputs:
            value = node.inputs[position]
            assert value is not None
            wanted = _HALF if node in half_nodes and not _stays(node, position) else _FLOAT
            if value.dtype == wanted:
                continue
            if (value, wanted) not in forms:
                forms[value, wanted] = (
                    _half_weight(graph, value) if value.const_value else _cast(graph, value)
                )
            node.replace_input_with(position, forms[value, wanted])
    for weight in [weight for weight in graph.initializers.values() if not weight.uses()]:
        graph.initializers.pop(str(weight.name))


def _float_inputs(node: ir.Node) -> Iterator[int]:
    for position, value in enumerate(node.inputs):
        if value is not None and value.dtype == _FLOAT:
            yield position


def _stays(node: ir.Node, position: int) -> bool:
    # Resize takes its scales as float whatever the type of what it resizes.
    return node.op_type == "Resize" and position > 0


def _restore_outputs(graph: ir.Graph) -> dict[tuple[ir.Value, ir.DataType], ir.Value]:
    """Put a cast behind every output of the graph that has become half; the cast's result has its name.

    Returns:
        The casts' results, by what they are of and their type.
    """
    restored = {}
    for position, value in enumerate(graph.outputs):
        if value.dtype == _HALF:
            name = str(value.name)
            value.name = f"{name}:half"
            output = restored[value, _FLOAT] = _cast(graph, value)
            output.name = name
            graph.outputs[position] = output
    return restored


def _cast(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Return `value` in the other of the two types, by a node right behind what gives it."""
    to = _FLOAT if value.dtype == _HALF else _HALF
    name = f"{value.name}:{_SUFFIX[to]}"
    node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", to.value)], name=f"{name}/Cast")
    result = node.outputs[0]
    result.name, result.shape, result.type = name, value.shape, ir.TensorType(to)
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, node)
    else:
        graph.insert_before(graph[0], node)
    return result


def _half_weight(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Return a weight's half form, which is computed when it is written."""
    weight, shape = value.const_value, value.shape
    assert weight is not None
    assert shape is not None
    largest = float(np.abs(weight.numpy()).max(initial=0))
    if not largest <= _HALF_MAX:
        raise SetupError(
            f"A weight is too large for half precision: {largest:.3g} in {value.name}.",
            "The checkpoint is damaged: give another one.",
        )
    name = f"{value.name}:half"
    halved = ir.LazyTensor(
        lambda: ir.tensor(weight.numpy().astype(np.float16)), dtype=_HALF, shape=shape, name=name
    )
    half = ir.Value(name=name, shape=shape, type=ir.TensorType(_HALF), const_value=halved)
    graph.register_initializer(half)
    return half
