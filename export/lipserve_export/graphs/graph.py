"""A builder of ONNX graphs whose signature is a contract's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipserve.contracts import Model

OPSET = 18
IR_VERSION = 10  # what ONNX Runtime 1.19 and TensorRT 10 still read
BATCH = "batch"
DTYPES = {"UINT8": TensorProto.UINT8, "INT32": TensorProto.INT32, "FP32": TensorProto.FLOAT}
NETWORK = "network"
"""Scope of the learnt layers: what the FP16 form of a graph runs in half precision."""


class Graph:
    """Nodes in the order in which they are added. Values are named by strings."""

    def __init__(self, contract: Model) -> None:
        self.contract = contract
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._scope = ""

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put `name/` before the names of the nodes added inside."""
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        try:
            yield
        finally:
            self._scope = outer

    def constant(self, value: NDArray[Any] | list[int]) -> str:
        """Add an initializer (a list becomes int64, float64 becomes float32)."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"{self._scope}constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        return self.split(op_type, *inputs, outputs=(output,), **attributes)[0]

    def split(self, op_type: str, *inputs: str, outputs: tuple[str, ...], **attributes: Any) -> list[str]:
        """Add a node of several outputs and return their names; an empty name is made up."""
        name = f"{self._scope}{op_type}_{len(self._nodes)}"
        names = [given or f"{name}:{i}" for i, given in enumerate(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        return names

    def cast(self, value: str, to: int, output: str = "") -> str:
        """Convert to an element type of `onnx.TensorProto`."""
        return self.op("Cast", value, output=output, to=to)

    def splice(self, model: onnx.ModelProto, inputs: Mapping[str, str]) -> list[str]:
        """Add a whole model, its inputs bound to values of this graph; return its outputs in order."""
        prefix = f"{self._scope}{len(self._nodes)}."
        bound = {"": "", **inputs}

        def rename(name: str) -> str:
            return bound.get(name, prefix + name)

        used = {name for node in model.graph.node for name in node.input}
        for tensor in model.graph.initializer:
            if tensor.name not in used:
                continue
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = rename(tensor.name)
            self._constants.append(copy)
        for node in model.graph.node:
            added = onnx.NodeProto()
            added.CopyFrom(node)
            added.name = f"{self._scope}{node.name or node.op_type}_{len(self._nodes)}"
            added.input[:] = [rename(name) for name in node.input]
            added.output[:] = [rename(name) for name in node.output]
            added.ClearField("metadata_props")
            added.ClearField("doc_string")
            self._nodes.append(added)
        return [rename(value.name) for value in model.graph.output]

    def model(self) -> onnx.ModelProto:
        """Return the checked model. Every output of the contract must have been named by a node."""
        inputs, outputs = (
            [helper.make_tensor_value_info(t.name, DTYPES[t.dtype], [BATCH, *t.dims]) for t in tensors]
            for tensors in (self.contract.inputs, self.contract.outputs)
        )
        graph = helper.make_graph(self._nodes, self.contract.name, inputs, outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="lipserve-export",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
