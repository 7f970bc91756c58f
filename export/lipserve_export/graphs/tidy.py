"""What torch's exporter leaves, put in order: few nodes, telling names, the same bytes each time."""

from __future__ import annotations

import ast
import re

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants, optimize_ir

from lipserve_export.graphs.graph import BATCH, IR_VERSION


def tidy(model: ir.Model, name: str) -> None:
    """Fold constants, merge what is computed twice, name nodes by their modules, in place.

    Nothing in the graph tells of the machine it was made on.

    Args:
        name: of the graph.
    """
    _rename_batch(model.graph)
    for step in (
        fold_constants,
        common.RemoveUnusedNodesPass(),
        common.CommonSubexpressionEliminationPass(),
        optimize_ir,  # last: on what torch gives it takes half of the export's time
        _fix_reshapes,
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(),
    ):
        step(model)
    _name_nodes(model.graph)
    common.ClearMetadataAndDocStringPass()(model)
    model.graph.name = name
    model.producer_name, model.producer_version, model.ir_version = "lipserve-export", None, IR_VERSION


def sizes(value: ir.Value) -> tuple[int | None, ...]:
    """Return the sizes of a value's axes, None where one is free."""
    return tuple(size if isinstance(size, int) else None for size in value.shape or ())


def _rename_batch(graph: ir.Graph) -> None:
    """Call the free axis `batch` in every shape; torch calls it s30, say, and what follows from it 2*s30."""
    shape = graph.inputs[0].shape
    assert shape is not None
    symbol = re.compile(rf"\b{re.escape(str(shape[0]))}\b")
    for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape(
                size if isinstance(size, int) else symbol.sub(BATCH, str(size)) for size in value.shape
            )


def _fix_reshapes(model: ir.Model) -> None:
    """Give every Reshape whose result has one free axis a constant shape with -1 there."""
    for node in model.graph:
        wanted = sizes(node.outputs[0])
        if node.op_type != "Reshape" or wanted.count(None) != 1:
            continue
        shape = ir.tensor([-1 if size is None else size for size in wanted], ir.DataType.INT64)
        constant = ir.Value(
            name=f"{node.outputs[0].name}:shape",
            shape=ir.Shape([len(wanted)]),
            type=ir.TensorType(shape.dtype),
            const_value=shape,
        )
        model.graph.register_initializer(constant)
        node.replace_input_with(1, constant)


def _name_nodes(graph: ir.Graph) -> None:
    for number, node in enumerate(graph):
        # ['', 'unet', 'unet.time_embedding', 'linear']: modules from the outermost, then the operation
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        module = scopes[-2] if len(scopes) > 1 else ""
        node.name = "/".join((*module.split("."), f"{node.op_type}_{number}")).lstrip("/")
