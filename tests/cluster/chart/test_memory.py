"""The memory of a server follows from what one request, and all together, may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lipserve.contracts import PIPELINES, Model

Object = dict[str, Any]
Find = Callable[..., Object]
CPU: Object = {"profile": "onnx"}
EMBEDDED: Object = {"profile": "embedded"}
GPU: Object = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}


def last_stages() -> list[Model]:
    return [pipeline.stages[-1] for pipeline in PIPELINES.values()]


def memory(server_pod: Find, values: Object) -> str:
    resources = server_pod(values)["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    return str(resources["limits"]["memory"])


def of_cores(cpu: str) -> Object:
    return CPU | {"resources": {"requests": {"cpu": cpu}}}


def of_limits(**limits: int) -> Object:
    return EMBEDDED | {"requestLimits": limits}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (EMBEDDED, "7Gi"),
        (of_limits(pixels=2_073_600), "5Gi"),
        (of_limits(pixels=36_000_000), "15Gi"),
        (of_limits(acceptedMib=512), "9Gi"),
        (of_limits(acceptedMib=1, messageMib=16), "5Gi"),
        (of_cores("2"), "11Gi"),
        (of_cores("1500m"), "11Gi"),
        (of_cores("4"), "14Gi"),
        (of_cores("64"), "17Gi"),
        (GPU, "17Gi"),
    ],
)
def test_memory_follows_from_the_limits(server_pod: Find, values: Object, expected: str) -> None:
    assert memory(server_pod, values) == expected


def test_memory_that_is_given_stays(server_pod: Find) -> None:
    resources = server_pod(EMBEDDED | {"resources": {"limits": {"memory": "20Gi"}}})["containers"][0][
        "resources"
    ]
    assert resources["limits"]["memory"] == resources["requests"]["memory"] == "20Gi"


def test_no_tier_has_more_processes_that_encode_than_the_chart_counts() -> None:
    assert max(stage.embedded_instances for stage in last_stages()) == 2
    assert max(stage.instances for stage in last_stages()) == 8
