from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipserve.errors import SetupError
from lipserve_export.graphs.fp16 import mixed_fp16
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.runtime import run, session

Array = NDArray[np.float32]


def model(weight: float = 0.5) -> ir.Model:
    """X -> scale -> MatMul -> LayerNorm -> Relu -> Resize -> MatMul -> add X; a value amid is an output too.

    Beside it, as a network's time embedding, T -> MatMul -> Sigmoid, added in the middle.
    """
    named = {
        "scale": np.full(1, 2.0),
        "w1": np.full((4, 4), weight),
        "w2": np.eye(4),
        "wt": np.eye(4),
        "gain": np.ones(4),
        "scales": np.ones(3),
    }
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in named.items()]
    nodes = [
        helper.make_node("Mul", ["X", "scale"], ["scaled"], name="Mul_0"),
        helper.make_node("MatMul", ["T", "wt"], ["time"], name="time/MatMul_1"),
        helper.make_node("MatMul", ["scaled", "w1"], ["first"], name="MatMul_2"),
        helper.make_node("Sigmoid", ["time"], ["bounded"], name="Sigmoid_3"),
        helper.make_node("Add", ["first", "bounded"], ["MIDDLE"], name="Add_4"),
        helper.make_node("LayerNormalization", ["MIDDLE", "gain"], ["normal"], name="LayerNormalization_5"),
        helper.make_node("Relu", ["normal"], ["positive"], name="Relu_6"),
        helper.make_node("Sigmoid", ["normal"], ["gate"], name="Sigmoid_7"),
        helper.make_node("Mul", ["positive", "gate"], ["gated"], name="Mul_8"),
        helper.make_node("Resize", ["gated", "", "scales"], ["resized"], name="Resize_9"),
        helper.make_node("MatMul", ["resized", "w2"], ["last"], name="MatMul_10"),
        helper.make_node("Add", ["last", "X"], ["Y"], name="Add_11"),
    ]
    shape = ["batch", 3, 4]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
        for names in ("XT", ("Y", "MIDDLE"))
    )
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def types(graph: ir.Graph) -> dict[str, str]:
    return {str(node.name): str(node.outputs[0].dtype) for node in graph}


def test_products_and_what_lies_between_are_half_but_for_sums_time_and_the_ends() -> None:
    half = mixed_fp16(model(), keep=["time"])
    onnx.checker.check_model(ir.to_proto(half), full_check=True)
    found = {name: dtype for name, dtype in types(half.graph).items() if "/Cast" not in name}
    assert {name for name, dtype in found.items() if dtype == "FLOAT16"} == {
        "MatMul_2", "Add_4", "Relu_6", "Sigmoid_7", "Mul_8", "Resize_9", "MatMul_10",
    }  # fmt: skip
    assert {name for name, dtype in found.items() if dtype == "FLOAT"} == {
        "Mul_0", "time/MatMul_1", "Sigmoid_3", "LayerNormalization_5", "Add_11",
    }  # fmt: skip
    weights = {name: str(value.dtype) for name, value in half.graph.initializers.items()}
    assert weights == {
        "scale": "FLOAT", "wt": "FLOAT", "gain": "FLOAT", "scales": "FLOAT",
        "w1:half": "FLOAT16", "w2:half": "FLOAT16",
    }  # fmt: skip


def test_a_value_is_cast_once_and_outputs_keep_name_and_type() -> None:
    full = model()
    half = mixed_fp16(full, keep=["time"])
    casts = Counter(
        str(node.inputs[0].name) for node in half.graph if node.op_type == "Cast" and node.inputs[0]
    )
    # `normal` is read by two half nodes; MIDDLE by an FP32 one, and is an output as well.
    assert casts == {"scaled": 1, "bounded": 1, "MIDDLE:half": 1, "normal": 1, "last": 1}
    for before, after in zip(
        (*full.graph.inputs, *full.graph.outputs), (*half.graph.inputs, *half.graph.outputs), strict=True
    ):
        assert (after.name, after.dtype, str(after.shape)) == (before.name, before.dtype, str(before.shape))


def test_the_mixed_graph_computes_as_the_full_graph_which_is_unchanged() -> None:
    full = model()
    before = ir.to_proto(full).SerializeToString(deterministic=True)
    half = mixed_fp16(full, keep=["time"])
    assert ir.to_proto(full).SerializeToString(deterministic=True) == before
    source = np.random.default_rng(0)
    inputs = {name: source.standard_normal((2, 3, 4)).astype(np.float32) for name in "XT"}
    expected, found = (run(session(ir.to_proto(graph)), inputs) for graph in (full, rounded(half)))
    for name in ("Y", "MIDDLE"):
        error = np.abs(found[name] - expected[name]).max()
        assert 0 < error < 1e-2


def test_rounding_is_to_half_precision_after_every_layer() -> None:
    half = mixed_fp16(model(), keep=["time"])
    source = np.random.default_rng(1)
    x, t = (source.standard_normal((2, 3, 4)).astype(np.float32) for _ in "XT")
    found = run(session(ir.to_proto(rounded(half))), {"X": x, "T": t})["MIDDLE"]

    def to_half(array: Array) -> Array:
        return array.astype(np.float16).astype(np.float32)

    first = to_half(to_half(2 * x) @ np.full((4, 4), 0.5, np.float32))
    middle = to_half(first + to_half(1 / (1 + np.exp(-t))))
    np.testing.assert_allclose(found, middle, atol=2e-3)  # a unit in the last place of half precision
    np.testing.assert_array_equal(found, to_half(found))
    assert (found == middle).mean() > 0.9


def test_without_keep_the_time_is_half_too() -> None:
    found = types(mixed_fp16(model()).graph)
    assert found["time/MatMul_1"] == found["Sigmoid_3"] == "FLOAT16"


def test_a_module_to_keep_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="comes from unet/time/"):
        mixed_fp16(model(), keep=["unet/time"])


@pytest.mark.parametrize(("weight", "said"), [(1e6, r"1e\+06"), (-7e4, r"7e\+04"), (float("nan"), "nan")])
def test_weights_beyond_half_precision_are_refused(weight: float, said: str) -> None:
    with pytest.raises(SetupError, match=f"too large for half precision: {said} in w1"):
        mixed_fp16(model(weight))
