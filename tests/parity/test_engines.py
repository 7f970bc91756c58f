"""Every leaf, in both precisions, through NVIDIA's parser and builder for SM80: no GPU needed."""

from __future__ import annotations

import sys

import onnx
import pytest

from lipserve.contracts import EVERY_MODEL, MODELS
from lipserve.engine_store import Precision
from lipserve.errors import SetupError
from lipserve_export.engines.build import check_precision
from lipserve_export.engines.tensorrt import build, builder_version
from lipserve_export.faces.landmarks106 import face_landmarks_106
from lipserve_export.faces.scrfd import scrfd
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS
from tests.support import insightface

pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_leaf_parses_and_builds_in_its_precisions(leaf_graph: onnx.ModelProto, precision: str) -> None:
    contract = MODELS[leaf_graph.graph.name]
    graph = leaf_graph if precision == "fp32" else to_fp16(leaf_graph)
    built = build("tensorrt_rtx", graph.SerializeToString(), contract, "sm80")

    assert len(built.plan) > 100_000
    assert built.inputs == {tensor.name: (-1, *tensor.dims) for tensor in contract.inputs}
    convolutions = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    parsed = [layer for layer in built.parsed if layer.kind in ("CONVOLUTION", "DECONVOLUTION")]
    assert len(parsed) == len(convolutions)
    assert {layer.dtype for layer in parsed} == {"FLOAT" if precision == "fp32" else "HALF"}

    carried = {source for layer in built.layers if layer.is_convolution for source in layer.sources}
    assert {node.name for node in convolutions} <= carried
    kinds = {layer.inputs[0] for layer in built.layers if layer.is_convolution}
    assert kinds == {"Float" if precision == "fp32" else "Half"}
    # Sigmoids (ACTIVATION), exponentials and selection stay FP32 whatever the network is in.
    kept = [layer for layer in built.parsed if not layer.name.startswith("network/")]
    assert kept
    assert {layer.dtype for layer in kept if layer.kind in ("UNARY", "TOPK")} <= {"FLOAT"}
    assert "HALF" not in {layer.dtype for layer in kept if layer.kind == "ACTIVATION"}

    check_precision(built, "fp16" if precision == "fp16" else "fp32", contract)
    with pytest.raises(SetupError, match="layers not in"):
        check_precision(built, "fp32" if precision == "fp16" else "fp16", contract)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "graph",
    [scrfd(insightface.scrfd()), face_landmarks_106(insightface.landmarks106())],
    ids=["scrfd", "2d106det"],
)
def test_networks_that_a_user_supplies_build_too(graph: onnx.ModelProto, precision: Precision) -> None:
    """Around made-up networks: what is ours of the graphs is what is tested."""
    contract = EVERY_MODEL[graph.graph.name]
    data = (graph if precision == "fp32" else to_fp16(graph)).SerializeToString()
    built = build("tensorrt_rtx", data, contract, "sm80")
    assert built.inputs == {tensor.name: (-1, *tensor.dims) for tensor in contract.inputs}
    check_precision(built, precision, contract)


def test_a_target_that_the_release_does_not_know_is_refused(mesh_graph: onnx.ModelProto) -> None:
    with pytest.raises(SetupError, match="cannot build for sm90"):
        build("tensorrt_rtx", mesh_graph.SerializeToString(), MODELS["face_landmarks"], "sm90")


def test_a_graph_that_mixes_types_is_refused_by_name(mesh_graph: onnx.ModelProto) -> None:
    half = to_fp16(mesh_graph)
    broken = onnx.ModelProto()
    broken.CopyFrom(half)
    cast = next(node for node in broken.graph.node if node.op_type == "Cast" and "half" in node.name)
    for node in broken.graph.node:
        for position, value in enumerate(node.input):
            if value == cast.output[0]:
                node.input[position] = cast.input[0]
    with pytest.raises(SetupError, match="cannot read the graph of face_landmarks"):
        build("tensorrt_rtx", broken.SerializeToString(), MODELS["face_landmarks"], "sm80")


def test_the_bindings_alone_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the export image, where the library is the base's and its package `tensorrt` is not installed."""
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert builder_version("tensorrt_rtx").startswith("1.7.1")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(SetupError, match="The package tensorrt_rtx is missing"):
        builder_version("tensorrt_rtx")


@pytest.mark.slow
def test_the_original_generator_builds_in_half_precision() -> None:
    graph = to_fp16(wav2lip_generator(random_generator(VARIANTS["original"], 1)))
    contract = MODELS["wav2lip_generator"]
    built = build("tensorrt_rtx", graph.SerializeToString(), contract, "sm80")
    check_precision(built, "fp16", contract)
    assert sum(layer.is_convolution for layer in built.layers) == 51
    assert 70e6 < len(built.plan) < 90e6  # 36.3 M weights of two bytes
