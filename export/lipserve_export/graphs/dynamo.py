"""Export of a PyTorch module to ONNX with a contract's signature, by torch.onnx's dynamo exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx_ir as ir
import torch
from torch import nn

from lipserve.contracts import Model, Tensor
from lipserve.errors import SetupError
from lipserve_export.graphs.graph import BATCH
from lipserve_export.graphs.tidy import sizes, tidy

OPSET = 21
"""The first that keeps GroupNormalization and LayerNormalization as one node each, whose statistics the FP16
form leaves in FP32. Opset 23 would make one Attention node of what TensorRT has no FP32 kernel for."""

_TRACED_BATCH = 2  # torch.export takes an axis of 0 or 1 for a constant
_LARGEST_BATCH = 63  # from 64 on diffusers takes another path; no contract allows as much


def export(module: nn.Module, contract: Model) -> ir.Model:
    """Return the FP32 graph of a module that takes the contract's inputs, and gives its outputs, in order.

    The batch axis is free, every other size is the contract's. Weights are the module's own tensors, not
    copies. Nodes are named by the module that they come from: `unet/time_embedding/linear_1/MatMul_5`.

    Raises:
        SetupError: the exporter refuses the module, fixes its batch axis, or finds other shapes than the
            contract's.
    """
    with _quiet():
        program = torch.onnx.export(
            _traced(module.eval(), contract),
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in contract.inputs],
            output_names=[tensor.name for tensor in contract.outputs],
            optimize=False,  # `tidy` does the same in a tenth of the time: after it has merged equal nodes
            verbose=False,
        )
    assert program is not None
    model: ir.Model = program.model
    _check(model.graph.inputs, contract.inputs, contract)
    _check(model.graph.outputs, contract.outputs, contract)
    tidy(model, contract.name)
    return model


def _traced(module: nn.Module, contract: Model) -> torch.export.ExportedProgram:
    batch = torch.export.Dim(BATCH, min=1, max=_LARGEST_BATCH)
    inputs = tuple(torch.zeros((_TRACED_BATCH, *tensor.dims)) for tensor in contract.inputs)
    # Called here: torch.onnx.export would fall back on a graph of one fixed batch, and not say so.
    try:
        with torch.no_grad():
            return torch.export.export(module, inputs, dynamic_shapes=({0: batch},) * len(inputs))
    except (torch._dynamo.exc.UserError, ValueError) as error:
        raise _fault(contract, f"its batch axis is not free: {str(error).strip().splitlines()[0]}") from error


def _check(values: Sequence[ir.Value], wanted: Sequence[Tensor], contract: Model) -> None:
    """Raise SetupError unless names, types and sizes are the contract's and the batch axis is symbolic."""
    found = [(value.name, value.dtype, sizes(value)) for value in values]
    expected = [(tensor.name, ir.DataType.FLOAT, (None, *tensor.dims)) for tensor in wanted]
    if found != expected:
        raise _fault(contract, f"it has {found} where the contract has {expected}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch warns of in itself, and its notes that torchvision is absent."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registration.setLevel(level)


def _fault(contract: Model, what: str) -> SetupError:
    return SetupError(
        f"{contract.name} cannot be exported: {what}.",
        "Install `lipserve[export]` with the versions it pins.",
    )
