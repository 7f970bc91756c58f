"""The strongly typed FP16 form of a graph: which of its nodes compute in half precision."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_ir as ir
from onnx import shape_inference

from lipserve_export.graphs.graph import NETWORK
from lipserve_export.graphs.retype import retype

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Sums over many values, or of exponentials: half precision overflows, or loses what they are of.
_FULL = frozenset({"GroupNormalization", "InstanceNormalization", "LayerNormalization", "Softmax"})


def to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` with the nodes in the scope `network` in half precision, weights and values.

    What is outside keeps FP32: scaling of the pixels, sigmoids, decoding, selection and rounding. Inputs
    and outputs keep their types. Casts stand where a value crosses the border.

    Raises:
        SetupError: a weight is beyond the range of half precision.
    """
    model = ir.from_proto(shape_inference.infer_shapes(graph, strict_mode=True))
    retype(model, [node for node in model.graph if str(node.name).startswith(f"{NETWORK}/")])
    half = ir.to_proto(model)
    del half.graph.value_info[:]  # as in `graph`: whoever reads it infers them
    onnx.checker.check_model(half, full_check=True)
    return half


def mixed_fp16(model: ir.Model, keep: Iterable[str] = ()) -> ir.Model:
    """Return a copy of an FP32 graph whose convolutions and matrix products are in half precision.

    So is what lies between two of them, but for normalisations and softmax. What comes before the first
    and after the last keeps FP32: a timestep's sinusoids, guidance and solver, a VAE's sampling. The copy
    shares the weights that stay FP32 and computes the others when it is written.

    Args:
        keep: modules whose nodes stay FP32 whatever they are, as `unet/time_embedding`.

    Raises:
        SetupError: a weight is beyond the range of half precision.
        ValueError: no node comes from a module of `keep`.
    """
    half = model.clone()
    kept = tuple(f"{module}/" for module in keep)
    for scope in kept:
        if not any(str(node.name).startswith(scope) for node in half.graph):
            raise ValueError(f"no node of {half.graph.name} comes from {scope}")
    retype(half, _between_products(half.graph, kept))
    return half


def _between_products(graph: ir.Graph, kept: tuple[str, ...]) -> set[ir.Node]:
    """Return the products outside `kept`, and what both follows one and leads to one."""
    products = {node for node in graph if node.op_type in _PRODUCTS and not str(node.name).startswith(kept)}
    following, leading = set(products), set(products)
    for node in graph:
        if any(before in following for before in node.predecessors()):
            following.add(node)
    for node in reversed(graph):
        if any(after in leading for after in node.successors()):
            leading.add(node)
    free = {node for node in following & leading if node.op_type not in _FULL}
    return products | {node for node in free if not str(node.name).startswith(kept)}
