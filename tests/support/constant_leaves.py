"""Leaves that give one value whatever they are shown: little work, and a contract's signature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from lipserve.contracts import Form, Model, leaves
from lipserve_export.graphs import manifest
from lipserve_export.graphs.graph import DTYPES, Graph


def constant_leaf(contract: Model, value: float = 0.5) -> onnx.ModelProto:
    """Return a graph of the contract's signature that gives one value whatever it is shown."""
    graph = Graph(contract)
    batch = graph.op("Shape", contract.inputs[0].name, start=0, end=1)
    for tensor in contract.outputs:
        shape = graph.op("Concat", batch, graph.constant(list(tensor.dims)), axis=0)
        filled = graph.op("Expand", graph.constant(np.array(value)), shape)
        graph.cast(filled, DTYPES[tensor.dtype], output=tensor.name)
    return graph.model()


def record(contract: Model) -> manifest.Manifest:
    return manifest.Manifest(model=contract.name, weights="none", variant="constant", parameters=0, macs=0)


def quality(repository: Path, form: Form, names: Sequence[str] = ()) -> None:
    """Write the quality tier's leaves, those of `names` or all."""
    for contract in leaves(form):
        if not names or contract.name in names:
            shapes = {"resolution": form.resolution, "channels": form.channels}
            made = record(contract).model_copy(update=shapes)
            manifest.write(repository, made, {"fp32": constant_leaf(contract)})
