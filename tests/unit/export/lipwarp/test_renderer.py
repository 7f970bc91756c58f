from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lipserve.contracts.lipwarp import LIP_RENDERER
from lipserve.errors import SetupError
from lipserve_export.graphs import counts
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import sample_inputs
from lipserve_export.lipwarp.parity import check_renderer, renderer_outputs
from lipserve_export.lipwarp.renderer import lip_renderer
from lipserve_export.lipwarp.renderer_network import FARTHEST, LipRenderer


@pytest.fixture(scope="module")
def model() -> LipRenderer:
    """A renderer of random weights, of which every channel matters and every output is varied."""
    torch.manual_seed(11)
    made = LipRenderer()
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean over what is seen
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        made.train()(2 * torch.rand(4, 8, 96, 96) - 1)
        made.head.weight.mul_(30)
    return made.eval()


@pytest.fixture(scope="module")
def graph(model: LipRenderer) -> onnx.ModelProto:
    return lip_renderer(model)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_served_graph_scales_moves_and_rounds_as_the_network_says(
    model: LipRenderer, graph: onnx.ModelProto, batch: int
) -> None:
    pictures = sample_inputs(LIP_RENDERER.inputs, batch, seed=batch)
    found = run(session(graph), pictures)
    levels = np.concatenate([pictures[name] for name in ("CURRENT", "MEMORY", "LIPS")], axis=3)
    scaled = torch.from_numpy(levels.astype(np.float32) * 2 / 255 - 1).permute(0, 3, 1, 2)
    with torch.inference_mode():
        flow, blend, paint = (value.permute(0, 2, 3, 1).numpy() for value in model(scaled))
    assert min(flow.std() / FARTHEST, blend.std(), paint.std()) > 0.1  # there is something to compare
    np.testing.assert_allclose(found["FLOW"], flow, atol=1e-4)
    for name, share in (("BLEND", blend), ("PAINT", paint)):
        assert found[name].dtype == np.uint8
        assert np.abs(found[name] - 255 * share).max() <= 0.5 + 1e-2  # rounded, once


def test_the_check_finds_a_channel_out_of_place(model: LipRenderer, graph: onnx.ModelProto) -> None:
    assert check_renderer(model, graph) < 5e-5
    other = LipRenderer()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for value in other.head.parameters():
            value[4:12] = value[[4, 6, 5, 7, 8, 9, 10, 11]]  # two of the four places of a pixel change over
    with pytest.raises(SetupError, match="differs from PyTorch"):
        check_renderer(other.eval(), graph)


def test_inputs_of_the_check_have_the_shapes_of_the_contract(model: LipRenderer) -> None:
    outputs = renderer_outputs(model, sample_inputs(LIP_RENDERER.inputs, 2))
    assert {name: value.shape for name, value in outputs.items()} == {
        tensor.name: (2, *tensor.dims) for tensor in LIP_RENDERER.outputs
    }


def test_its_arithmetic_is_counted_and_its_graph_is_lean(model: LipRenderer, graph: onnx.ModelProto) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == 401_271
    assert counts.macs(graph).input_grid == 132_544_512
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert (kinds["Conv"], kinds["Relu"], kinds["Concat"], kinds["BatchNormalization"]) == (14, 10, 1, 0)


def test_eight_bit_pictures_are_cast_before_they_are_moved(graph: onnx.ModelProto) -> None:
    """TensorRT takes UINT8 at the graph's border alone."""
    inputs = {tensor.name for tensor in LIP_RENDERER.inputs}
    readers = [node.op_type for node in graph.graph.node if inputs & set(node.input)]
    assert readers == ["Cast"] * 3
    eight_bit = {tensor.name for tensor in LIP_RENDERER.outputs if tensor.dtype == "UINT8"}
    assert [node.op_type for node in graph.graph.node if eight_bit & set(node.output)] == ["Cast"] * 2
