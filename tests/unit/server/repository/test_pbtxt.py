from __future__ import annotations

from dataclasses import replace

import pytest

from lipserve.contracts import MODELS
from lipserve_server.repository import pbtxt

FEATURES = 'output { name: "FEATURES" data_type: TYPE_FP32 dims: [2, 320, 16, 32, 32] }'


def test_a_leafs_configuration_has_a_line_for_each_field() -> None:
    text = pbtxt.config(
        MODELS["denoise_step"], "tensorrt", {"8.0": "model.sm80.plan", "9.0": "model.sm90.plan"}
    )
    lines = text.splitlines()
    assert lines[0].startswith("# Rendered from lipserve/contracts/")
    assert lines[1:4] == ['name: "denoise_step"', 'platform: "tensorrt_plan"', "max_batch_size: 2"]
    assert FEATURES in lines
    assert lines[-4:] == [
        "dynamic_batching { max_queue_delay_microseconds: 1000 }",
        "instance_group { kind: KIND_GPU count: 1 }",
        'cc_model_filenames { key: "8.0" value: "model.sm80.plan" }',
        'cc_model_filenames { key: "9.0" value: "model.sm90.plan" }',
    ]
    assert text.endswith("\n")


def test_plans_are_named_in_the_profile_that_runs_them() -> None:
    assert "plan" not in pbtxt.config(MODELS["denoise_step"], "onnx", {"8.0": "model.sm80.plan"})
    assert "plan" not in pbtxt.config(MODELS["wav2lip_generate"], "tensorrt", {"8.0": "model.sm80.plan"})


def test_a_name_with_quotes_and_spaces_comes_through() -> None:
    """The layout joins lines, and must leave what stands in quotes alone."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    named = replace(MODELS["face_detector"], name='a  "b"\\\n{c: 1}')
    read = text_format.Parse(pbtxt.config(named, "onnx"), model_config_pb2.ModelConfig())
    assert read.name == named.name


def test_a_type_that_triton_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pbtxt._TYPES, "FP32", "TYPE_FLOAT")
    with pytest.raises(ValueError, match="TYPE_FLOAT"):
        pbtxt.config(MODELS["denoise_step"], "onnx")


def test_a_field_that_triton_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pbtxt._LEAF_ENGINE, "onnx", {"backnd": "onnxruntime"})
    with pytest.raises(ValueError, match="backnd"):
        pbtxt.config(MODELS["denoise_step"], "onnx")
