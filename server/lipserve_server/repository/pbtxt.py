"""Triton's configuration of a model, rendered from its contract.

Triton reads `config.pbtxt` in production (profile tensorrt); `--model-config-name` names another profile,
and a model without `configs/<profile>.pbtxt` falls back to `config.pbtxt`. So a file is written only where
a profile differs: leaf models run differently in each, stages in the embedded profile only by the number of
their processes, ensembles nowhere.

A configuration is Triton's own message, ModelConfig, and its text is protobuf's: a field that there is not
cannot be written. Both are imported when a file is rendered, because a stage's process, which imports this
package for its manifests, needs no gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from lipserve.contracts import MODELS, Dtype, Model, Profile, Tensor

_TYPES: dict[Dtype, str] = {
    "UINT8": "TYPE_UINT8",
    "INT32": "TYPE_INT32",
    "FP16": "TYPE_FP16",
    "FP32": "TYPE_FP32",
    "BYTES": "TYPE_STRING",
}
_LEAF_ENGINE = {
    "tensorrt": {"platform": "tensorrt_plan"},
    "onnx": {"backend": "onnxruntime"},
    "embedded": {"backend": "python"},
}
_LEAF_DEVICE = {"tensorrt": "KIND_GPU", "onnx": "KIND_AUTO", "embedded": "KIND_CPU"}
_NOTICE = "# Rendered from lipserve/contracts/ by `python -m lipserve_server.repository`: edit that.\n"
_FLAT = re.compile(r"\{\n([^{}]*)\}")  # a message without messages in it, as protobuf lays it out


def config(model: Model, profile: Profile, plans: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text of the model's configuration in that profile.

    Args:
        plans: of the profile tensorrt, the names of a leaf's plans by compute capability ("8.0").
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    message = model_config_pb2.ModelConfig(
        name=model.name,
        max_batch_size=model.max_batch_size,
        input=map(_tensor, model.inputs),
        output=map(_tensor, model.outputs),
        **_engine(model, profile),
        **_execution(model, profile),
    )
    if model.kind == "leaf" and profile == "tensorrt":
        message.cc_model_filenames.update(plans)
    text = text_format.MessageToString(message, use_short_repeated_primitives=True, use_index_order=True)
    return _NOTICE + _FLAT.sub(lambda found: "{ " + " ".join(found[1].split()) + " }", text)


def _tensor(tensor: Tensor) -> dict[str, Any]:
    optional = {"optional": True} if tensor.optional else {}
    return {"name": tensor.name, "data_type": _TYPES[tensor.dtype], "dims": tensor.dims, **optional}


def _engine(model: Model, profile: Profile) -> dict[str, str]:
    if model.kind == "ensemble":
        return {"platform": "ensemble"}
    return _LEAF_ENGINE[profile] if model.kind == "leaf" else {"backend": "python"}


def _execution(model: Model, profile: Profile) -> dict[str, Any]:
    """Return the fields that differ from one kind of model to the next, and from one profile to the next.

    Never a queue policy or a priority: with either, Triton's batcher can sleep for half a second beside an
    idle instance.
    """
    if model.kind == "ensemble":
        steps = [
            {
                "model_name": step.model,
                "model_version": -1,
                "input_map": dict(step.inputs),
                "output_map": dict(step.outputs),
            }
            for step in model.steps
        ]
        return {"ensemble_scheduling": {"step": steps}}
    count = model.embedded_instances if profile == "embedded" else model.instances
    kind = _LEAF_DEVICE[profile] if model.kind == "leaf" else "KIND_CPU"
    batching = {"dynamic_batching": {"max_queue_delay_microseconds": model.max_queue_delay_us}}
    return {"instance_group": [{"count": count, "kind": kind}], **(batching if model.max_batch_size else {})}


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
