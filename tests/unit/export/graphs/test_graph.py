from __future__ import annotations

import numpy as np
import onnx
import pytest

from lipserve.contracts import Model, Tensor
from lipserve.errors import SetupError
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.graph import Graph
from lipserve_export.graphs.runtime import run, session

PAIR = Model(
    name="pair",
    kind="leaf",
    inputs=(Tensor("X", "FP32", (4,)),),
    outputs=(Tensor("Y", "FP32", (4,)),),
)


def plus(amount: float) -> onnx.ModelProto:
    graph = Graph(PAIR)
    graph.op("Add", "X", graph.constant(np.array(amount)), output="Y")
    return graph.model()


@pytest.mark.parametrize("batch", [1, 5])
def test_a_graph_has_the_contracts_signature_and_any_batch(batch: int) -> None:
    x = np.arange(batch * 4, dtype=np.float32).reshape(batch, 4)
    np.testing.assert_array_equal(run(session(plus(2.0)), {"X": x})["Y"], x + 2)


def test_spliced_models_keep_their_own_constants() -> None:
    graph = Graph(PAIR)
    with graph.scope("first"):
        (middle,) = graph.splice(plus(1.0), {"X": "X"})
    with graph.scope("second"):
        (end,) = graph.splice(plus(10.0), {"X": middle})
    graph.op("Identity", end, output="Y")
    model = graph.model()
    x = np.zeros((2, 4), np.float32)
    np.testing.assert_array_equal(run(session(model), {"X": x})["Y"], x + 11)
    assert [node.name.split("/")[0] for node in model.graph.node[:2]] == ["first", "second"]


def test_an_output_that_no_node_gives_is_an_error() -> None:
    graph = Graph(PAIR)
    graph.op("Neg", "X")
    with pytest.raises(onnx.checker.ValidationError):
        graph.model()


def test_weights_beyond_half_precision_are_refused() -> None:
    graph = Graph(PAIR)
    with graph.scope("network"):
        value = graph.op("Mul", "X", graph.constant(np.array(1e6)))
    graph.op("Neg", value, output="Y")
    with pytest.raises(SetupError, match=r"1e\+06"):
        to_fp16(graph.model())
