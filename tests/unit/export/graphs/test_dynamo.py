from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

import lipserve_export
from lipserve.contracts import Model, Tensor
from lipserve.errors import SetupError
from lipserve_export.graphs.dynamo import export
from lipserve_export.graphs.runtime import run, session

SMALL = Model(
    name="small",
    kind="leaf",
    inputs=(Tensor("PICTURE", "FP32", (4, 6, 6)), Tensor("GAIN", "FP32", (1,))),
    outputs=(Tensor("FIRST", "FP32", (8, 36)), Tensor("SECOND", "FP32", (8, 6, 6))),
    max_batch_size=4,
)


class Small(nn.Module):
    def __init__(self, split: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.split = split

    def forward(self, picture: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        doubled = torch.cat((picture, picture * gain[:, :, None, None]))
        y = self.norm(self.conv(doubled))
        if self.split:
            first, second = y.chunk(2)
        else:
            first, second = y[: picture.shape[0]], y[picture.shape[0] :]
        return torch.softmax(first.flatten(2), dim=-1), second


@pytest.fixture(scope="module")
def exported() -> ir.Model:
    return export(Small(), SMALL)


def serialized(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_graph_has_the_contracts_signature_and_any_batch(exported: ir.Model, batch: int) -> None:
    proto = ir.to_proto(exported)
    onnx.checker.check_model(proto, full_check=True)
    source = np.random.default_rng(batch)
    inputs = {
        tensor.name: source.standard_normal((batch, *tensor.dims)).astype(np.float32)
        for tensor in SMALL.inputs
    }
    with torch.inference_mode():
        expected = Small()(*map(torch.from_numpy, inputs.values()))
    found = run(session(proto), inputs)
    assert list(found) == ["FIRST", "SECOND"]
    for result, reference in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(result, reference.numpy(), atol=1e-6)


def test_the_batch_axis_has_its_name_and_norms_stay_whole(exported: ir.Model) -> None:
    graph = exported.graph
    assert [str(value.shape) for value in graph.inputs] == ["[batch,4,6,6]", "[batch,1]"]
    assert [str(value.shape) for value in graph.outputs] == ["[batch,8,36]", "[batch,8,6,6]"]
    assert exported.opset_imports[""] == 21
    assert [node.op_type for node in graph if "norm" in str(node.name)] == ["GroupNormalization"]
    assert [str(node.name).rsplit("_", 1)[0] for node in graph if "conv" in str(node.name)] == ["conv/Conv"]


def test_equal_modules_give_equal_bytes_which_tell_nothing_of_this_machine(exported: ir.Model) -> None:
    data = serialized(exported)
    assert data == serialized(export(Small(), SMALL))
    for word in (b"site-packages", b"forward", str(Path(lipserve_export.__file__).parent).encode()):
        assert word not in data
    proto = onnx.load_from_string(data)
    assert not proto.metadata_props
    assert not any(node.metadata_props for node in proto.graph.node)


def test_a_batch_that_the_exporter_fixes_is_refused() -> None:
    with pytest.raises(SetupError, match="small cannot be exported: its batch axis is not free"):
        export(Small(split=True), SMALL)


@pytest.mark.parametrize("part", ["order", "size"])
def test_outputs_that_are_not_the_contracts_are_refused(part: str) -> None:
    first, second = SMALL.outputs
    outputs = (second, first) if part == "order" else (Tensor("FIRST", "FP32", (8, 35)), second)
    other = Model(name="other", kind="leaf", inputs=SMALL.inputs, outputs=outputs)
    with pytest.raises(SetupError, match="where the contract has"):
        export(Small(), other)
