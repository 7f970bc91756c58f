from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from lipserve.contracts import WAV2LIP_GENERATOR
from lipserve.errors import StorageError
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import check_signature
from lipserve_training.quantize.crops import Crops
from lipserve_training.quantize.layers import Layer
from lipserve_training.quantize.qdq import Int8, Method, calibrate, mixed

Halves = tuple[Crops, Crops]


def test_every_convolution_is_measured_symmetric_and_per_channel(
    graph: onnx.ModelProto, int8: dict[str, Int8], convolutions: tuple[Layer, ...], drawn: Halves
) -> None:
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    nodes = {node.name: node for node in graph.graph.node}
    assert set(int8) == {layer.node for layer in convolutions}
    for layer in convolutions:
        form, weight = int8[layer.node], weights[nodes[layer.node].input[1]]
        assert form.axis == (1 if layer.transposed else 0)
        others = tuple(axis for axis in range(4) if axis != form.axis)
        np.testing.assert_allclose(form.weight_scale, np.abs(weight).max(others) / 127, rtol=1e-5)
        shape = [1, 1, 1, 1]
        shape[form.axis] = -1
        scale = form.weight_scale.reshape(shape)
        assert (np.abs(form.weight * scale - weight) <= 0.501 * scale).all()
        assert form.weight.dtype == np.int8
    first, speech = int8[convolutions[0].node], int8[convolutions[8].node]
    assert float(first.input_scale) == pytest.approx(drawn[0].faces.max() / 255 / 127, rel=1e-3)
    assert float(speech.input_scale) == pytest.approx(np.abs(drawn[0].mel).max() / 127, rel=1e-3)


@pytest.mark.parametrize("method", [pytest.param("entropy", marks=pytest.mark.slow), "percentile"])
def test_other_methods_keep_less_of_the_range(
    method: Method,
    graph: onnx.ModelProto,
    int8: dict[str, Int8],
    drawn: Halves,
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = calibrate(graph, drawn[0], method)
    ratios = [float(other[name].input_scale / int8[name].input_scale) for name in int8]
    assert max(ratios) <= 1.01
    assert min(ratios) < 0.999
    assert all((other[name].weight == int8[name].weight).all() for name in int8)
    assert capfd.readouterr().out == ""


def test_only_the_chosen_convolutions_read_integers_and_the_contract_holds(
    graph: onnx.ModelProto, int8: dict[str, Int8], convolutions: tuple[Layer, ...]
) -> None:
    chosen = {layer.node for layer in convolutions[3:9]}
    made = mixed(graph, {node: int8[node] for node in chosen})
    check_signature(made, WAV2LIP_GENERATOR, Path("model.int8.onnx"))
    producer = {name: node for node in made.graph.node for name in node.output}
    types = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            before = [producer[name].op_type for name in node.input if name in producer]
            wanted = ["DequantizeLinear"] * 2 if node.name in chosen else []
            assert [kind for kind in before if kind == "DequantizeLinear"] == wanted
            assert types[node.input[2]] == TensorProto.FLOAT  # a quantised bias would be refused
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == len(chosen)
    assert TensorProto.INT32 not in types.values()
    assert len(made.graph.initializer) == len(graph.graph.initializer) + 4 * len(chosen)


def test_a_graph_without_int8_layers_is_unchanged_and_one_of_all_layers_is_close(
    graph: onnx.ModelProto, int8: dict[str, Int8], drawn: Halves
) -> None:
    batch = next(drawn[1].batches())
    whole, none, every = (
        run(session(made), batch)["GENERATED"].astype(int)
        for made in (graph, mixed(graph, {}), mixed(graph, int8))
    )
    np.testing.assert_array_equal(whole, none)
    assert 0.5 < np.abs(whole - every).mean() < 20
    small, large = (len(made.SerializeToString()) for made in (mixed(graph, int8), graph))
    assert small < 0.3 * large


def test_the_integers_are_all_that_a_chosen_layer_sees(
    graph: onnx.ModelProto, int8: dict[str, Int8], convolutions: tuple[Layer, ...], drawn: Halves
) -> None:
    """The last convolution, 1x1: its logits against those of its rounded input and weight in NumPy."""
    last = convolutions[-1].node
    made = mixed(graph, {last: int8[last]})
    node = next(node for node in made.graph.node if node.name == last)
    source = next(node for node in graph.graph.node if node.name == last).input[0]
    for name in (node.output[0], source):
        made.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    found = run(session(made), next(drawn[1].batches()))
    form = int8[last]
    seen = np.clip(np.round(found[source] / form.input_scale), -128, 127) * form.input_scale
    weight = form.weight[:, :, 0, 0] * form.weight_scale[:, None]
    bias = numpy_helper.to_array(next(t for t in graph.graph.initializer if t.name == node.input[2]))
    expected = np.einsum("oi,bihw->bohw", weight, seen) + bias[:, None, None]
    np.testing.assert_allclose(found[node.output[0]], expected, atol=2e-5)


def test_the_half_precision_form_is_strongly_typed(
    graph: onnx.ModelProto, int8: dict[str, Int8], convolutions: tuple[Layer, ...], drawn: Halves
) -> None:
    chosen = {layer.node: int8[layer.node] for layer in convolutions[:21]}
    full = mixed(graph, chosen)
    half = to_fp16(full)
    check_signature(half, WAV2LIP_GENERATOR, Path("model.int8.onnx"))
    inferred = onnx.shape_inference.infer_shapes(half, strict_mode=True).graph
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    for node in half.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {types[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
        elif node.op_type == "QuantizeLinear":
            assert types[node.input[0]] == types[node.input[1]] == TensorProto.FLOAT16
            assert types[node.output[0]] == TensorProto.INT8
    batch = next(drawn[1].batches())
    pictures = [run(session(made, optimised=False), batch)["GENERATED"].astype(int) for made in (full, half)]
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 3


def test_a_full_disk_for_temporary_files_is_told(graph: onnx.ModelProto, drawn: Halves) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="Temporary files cannot be written"):
            calibrate(graph, drawn[0], "minmax")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
