"""Triton's configuration of a model, rendered from its contract.

Triton reads `config.pbtxt` in production (profile tensorrt); `--model-config-name` names another profile,
and a model without `configs/<profile>.pbtxt` falls back to `config.pbtxt`. So a file is written only where
a profile differs: leaf models run differently in each, stages in the embedded profile only by the number of
their processes, ensembles nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lipserve.contracts import MODELS, Dtype, Model, Profile, Step, Tensor

_TYPES: dict[Dtype, str] = {
    "UINT8": "TYPE_UINT8",
    "INT32": "TYPE_INT32",
    "FP16": "TYPE_FP16",
    "FP32": "TYPE_FP32",
    "BYTES": "TYPE_STRING",
}
_LEAF_ENGINE = {
    "tensorrt": 'platform: "tensorrt_plan"',
    "onnx": 'backend: "onnxruntime"',
    "embedded": 'backend: "python"',
}
_LEAF_DEVICE = {"tensorrt": "KIND_GPU", "onnx": "KIND_AUTO", "embedded": "KIND_CPU"}
_NOTICE = "# Rendered from lipserve/contracts/ by `python -m lipserve_server.repository`: edit that."


def _tensors(field: str, tensors: tuple[Tensor, ...]) -> list[str]:
    entries = []
    for tensor in tensors:
        optional = " optional: true" if tensor.optional else ""
        dims = ", ".join(map(str, tensor.dims))
        entries.append(
            f'  {{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype]} dims: [ {dims} ]{optional} }}'
        )
    return [f"{field} [", ",\n".join(entries), "]"]


def _mapping(field: str, names: dict[str, str]) -> list[str]:
    return [f'      {field} {{ key: "{key}" value: "{value}" }}' for key, value in names.items()]


def _step(step: Step) -> str:
    maps = _mapping("input_map", dict(step.inputs)) + _mapping("output_map", dict(step.outputs))
    return "\n".join(
        ["    {", f'      model_name: "{step.model}"', "      model_version: -1", *maps, "    }"]
    )


def _execution(model: Model, profile: Profile) -> list[str]:
    """Return what differs from one kind of model to the next, and from one profile to the next.

    Never a queue policy or a priority: with either, Triton's batcher can sleep for half a second beside an
    idle instance.
    """
    if model.kind == "ensemble":
        return ["ensemble_scheduling {", "  step [", ",\n".join(map(_step, model.steps)), "  ]", "}"]
    count = model.embedded_instances if profile == "embedded" else model.instances
    kind = _LEAF_DEVICE[profile] if model.kind == "leaf" else "KIND_CPU"
    lines = [f"instance_group [ {{ count: {count} kind: {kind} }} ]"]
    if model.max_batch_size:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {model.max_queue_delay_us} }}")
    return lines


def _filenames(model: Model, profile: Profile, plans: Mapping[str, str]) -> list[str]:
    if model.kind != "leaf" or profile != "tensorrt":
        return []
    return [f'cc_model_filenames {{ key: "{key}" value: "{name}" }}' for key, name in plans.items()]


def _engine(model: Model, profile: Profile) -> str:
    if model.kind == "ensemble":
        return 'platform: "ensemble"'
    return _LEAF_ENGINE[profile] if model.kind == "leaf" else 'backend: "python"'


def config(model: Model, profile: Profile, plans: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text of the model's configuration in that profile.

    Args:
        plans: of the profile tensorrt, the names of a leaf's plans by compute capability ("8.0").
    """
    return "\n".join(
        [
            _NOTICE,
            f'name: "{model.name}"',
            _engine(model, profile),
            f"max_batch_size: {model.max_batch_size}",
            *_tensors("input", model.inputs),
            *_tensors("output", model.outputs),
            *_execution(model, profile),
            *_filenames(model, profile, plans),
            "",
        ]
    )


def rendered(
    models: Iterable[Model] = tuple(MODELS.values()), plans: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return every rendered file of a repository that holds `models`: its path below the root, its text.

    Args:
        plans: of `config`.
    """
    files: dict[str, str] = {}
    for model in models:
        files[f"{model.name}/config.pbtxt"] = config(model, "tensorrt", plans)
        if model.kind == "leaf":
            files[f"{model.name}/configs/onnx.pbtxt"] = config(model, "onnx")
        if model.kind != "ensemble":
            files[f"{model.name}/configs/embedded.pbtxt"] = config(model, "embedded")
        else:  # Triton wants a version directory of every model, and git keeps no empty one
            files[f"{model.name}/1/.gitkeep"] = ""
    return files
