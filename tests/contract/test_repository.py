"""Configuration = contract = ONNX signatures, in every profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from lipserve.contracts import (
    ENSEMBLES,
    FACE_LEAVES,
    LEAVES,
    MODELS,
    PROFILES,
    Form,
    Model,
    Profile,
    Tensor,
    leaves_of,
    models,
    of_tier,
)
from lipserve_server.repository import models as repository
from lipserve_server.repository import pbtxt
from lipserve_server.repository.manifest import read_form, read_manifest

TYPES = {
    "UINT8": "TYPE_UINT8",
    "INT32": "TYPE_INT32",
    "FP16": "TYPE_FP16",
    "FP32": "TYPE_FP32",
    "BYTES": "TYPE_STRING",
}
ONNX_TYPES = {"UINT8": onnx.TensorProto.UINT8, "FP32": onnx.TensorProto.FLOAT}
QUALITY = [leaf for leaf in leaves_of("latentsync") if leaf not in FACE_LEAVES]
CASES = [(model, profile) for model in MODELS.values() for profile in PROFILES]
IDS = [f"{model.name}-{profile}" for model, profile in CASES]


def in_force(model: Model, profile: Profile) -> Any:
    """Return the committed configuration that Triton reads in a profile."""
    folder = repository.template() / model.name
    own = folder / "configs" / f"{profile}.pbtxt"
    path = own if own.is_file() else folder / "config.pbtxt"
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def signature(tensors: Any) -> list[tuple[str, str, tuple[int, ...], bool]]:
    name_of = model_config_pb2.DataType.Name
    return [
        (t.name, name_of(t.data_type), tuple(t.dims), bool(getattr(t, "optional", False))) for t in tensors
    ]


def contract(tensors: tuple[Tensor, ...]) -> list[tuple[str, str, tuple[int, ...], bool]]:
    return [(t.name, TYPES[t.dtype], t.dims, t.optional) for t in tensors]


def test_the_committed_repository_is_rendered_from_the_contract() -> None:
    committed = {
        str(path.relative_to(repository.template())): path.read_text()
        for path in repository.template().rglob("*")
        if path.suffix == ".pbtxt" or path.name == ".gitkeep"
    }
    assert committed == pbtxt.rendered()


def test_every_model_that_runs_in_python_has_a_short_adapter() -> None:
    for model in MODELS.values():
        adapter = repository.template() / model.name / "1" / "model.py"
        assert adapter.is_file() == (model.kind != "ensemble")
        if adapter.is_file():
            assert len(adapter.read_text().splitlines()) <= 60


@pytest.mark.parametrize(("model", "profile"), CASES, ids=IDS)
def test_configuration_says_what_the_contract_says(model: Model, profile: Profile) -> None:
    config = in_force(model, profile)
    assert config.name == model.name
    assert config.max_batch_size == model.max_batch_size
    assert signature(config.input) == contract(model.inputs)
    assert signature(config.output) == contract(model.outputs)
    if model.kind == "ensemble":
        assert not config.instance_group
        return
    group = config.instance_group[0]
    assert group.count == (model.embedded_instances if profile == "embedded" else model.instances)
    assert config.HasField("dynamic_batching") == bool(model.max_batch_size)
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert config.dynamic_batching.priority_levels == 0
    assert config.dynamic_batching.max_queue_delay_microseconds == model.max_queue_delay_us


@pytest.mark.parametrize(
    ("profile", "engine", "device"),
    [
        ("tensorrt", "tensorrt_plan", "KIND_GPU"),
        ("onnx", "onnxruntime", "KIND_AUTO"),
        ("embedded", "python", "KIND_CPU"),
    ],
)
def test_leaves_run_as_their_profile_says(profile: Profile, engine: str, device: str) -> None:
    for model in LEAVES:
        config = in_force(model, profile)
        assert engine in (config.platform, config.backend)
        assert model_config_pb2.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == device


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda model: model.name)
def test_every_step_receives_what_it_was_made_for(ensemble: Model) -> None:
    """Triton passes on whatever flows under a name: types and shapes must agree at both of its ends."""
    flowing = {tensor.name: tensor for tensor in ensemble.inputs}
    for step in ensemble.steps:
        model = MODELS[step.model]
        assert set(step.inputs) == {tensor.name for tensor in model.inputs}
        for tensor in model.inputs:
            source = flowing[step.inputs[tensor.name]]
            assert (source.dtype, source.dims) == (tensor.dtype, tensor.dims), tensor.name
        outputs = {tensor.name: tensor for tensor in model.outputs}
        flowing |= {name: outputs[key] for key, name in step.outputs.items()}
    for tensor in ensemble.outputs:
        assert (flowing[tensor.name].dtype, flowing[tensor.name].dims) == (tensor.dtype, tensor.dims)


@pytest.mark.parametrize(
    "model", [leaf for leaf in LEAVES if leaf not in QUALITY], ids=lambda model: model.name
)
def test_exported_graphs_have_the_contracts_signatures(model: Model, exported: Path) -> None:
    check_signature(exported, model)


@pytest.mark.parametrize("model", [leaf.name for leaf in QUALITY])
def test_graphs_of_the_quality_tier_have_those_of_the_form_in_their_manifest(
    model: str, exported_latentsync: Path
) -> None:
    check_signature(exported_latentsync, models(read_manifest(exported_latentsync, model).form)[model])


def test_a_repository_of_another_form_is_configured_for_it(exported_latentsync: Path, tmp_path: Path) -> None:
    for leaf in (model.name for model in of_tier("latentsync") if model.kind == "leaf"):
        (tmp_path / leaf).mkdir()
        (tmp_path / leaf / "1").symlink_to(exported_latentsync / leaf / "1")
    form = read_form(exported_latentsync)
    assert form != Form()
    held = repository.assemble(tmp_path)
    assert {model.name: model for model in held} == {m.name: m for m in of_tier("latentsync", form)}
    for model in held:
        config = text_format.Parse(
            (tmp_path / model.name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
        )
        assert signature(config.input) == contract(model.inputs)
        assert signature(config.output) == contract(model.outputs)


def check_signature(folder: Path, model: Model) -> None:
    graph = onnx.load(folder / model.name / "1" / "model.onnx", load_external_data=False).graph
    for values, tensors in ((graph.input, model.inputs), (graph.output, model.outputs)):
        assert [value.name for value in values] == [tensor.name for tensor in tensors]
        for value, tensor in zip(values, tensors, strict=True):
            kind = value.type.tensor_type
            assert kind.elem_type == ONNX_TYPES[tensor.dtype]
            assert kind.shape.dim[0].dim_param, "the batch axis is not dynamic"
            assert tuple(dim.dim_value for dim in kind.shape.dim[1:]) == tensor.dims
