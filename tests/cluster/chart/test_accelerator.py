"""Whole GPUs, slices and shares: resource names and nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.invariants import containers, pods

Object = dict[str, Any]
Find = Callable[..., Object]


def gpu(**accelerator: Any) -> Object:
    placed = {"nodeSelector": {}, "affinity": {}, "tolerations": []}
    return {
        "profile": "tensorrt",
        "accelerator": {"kind": "gpu", **accelerator},
        "engines": {"build": placed},
    }


@pytest.mark.parametrize(
    ("accelerator", "resource", "count"),
    [
        ({"kind": "gpu"}, "nvidia.com/gpu", "1"),
        ({"kind": "gpu", "count": 4}, "nvidia.com/gpu", "4"),
        ({"kind": "mig", "migProfile": "1g.10gb"}, "nvidia.com/mig-1g.10gb", "1"),
        ({"kind": "timeslice"}, "nvidia.com/gpu.shared", "1"),
        ({"kind": "timeslice", "timesliceRenamed": False}, "nvidia.com/gpu", "1"),
    ],
)
def test_each_kind_asks_for_its_resource(
    server_pod: Find, accelerator: Object, resource: str, count: str
) -> None:
    resources = server_pod(gpu(**accelerator))["containers"][0]["resources"]
    assert resources["limits"][resource] == resources["requests"][resource] == count
    assert len([name for name in resources["limits"] if name.startswith("nvidia.com/")]) == 1
    assert resources["limits"]["memory"] == resources["requests"]["memory"] == "17Gi"


def test_cpu_mode_asks_for_none(server_pod: Find) -> None:
    spec = server_pod()
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "11Gi"},
        "limits": {"memory": "11Gi"},
    }
    assert "tolerations" not in spec
    assert "runtimeClassName" not in spec


def test_a_container_sees_no_gpu_that_it_did_not_ask_for(render: Callable[..., list[Object]]) -> None:
    """NGC's images set NVIDIA_VISIBLE_DEVICES=all."""
    none = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}

    def blind(values: Object) -> set[str]:
        return {
            container["name"]
            for _, _, spec in pods(render(values | {"store": {"export": {"enabled": True}}}))
            for container in containers(spec)
            if none in container["env"]
        }

    assert blind({}) == {"triton", "wait-for-build", "export", "health", "smoke"}
    assert blind(gpu()) == {"export", "health", "smoke"}


def test_a_gpu_pod_goes_to_nodes_of_the_product(server_pod: Find) -> None:
    spec = server_pod(
        gpu(product=["NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-40GB"], runtimeClassName="nvidia")
        | {"tolerations": [{"key": "team", "operator": "Exists"}], "nodeSelector": {"pool": "gpu"}}
    )
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"] == [
        {
            "matchExpressions": [
                {
                    "key": "nvidia.com/gpu.product",
                    "operator": "In",
                    "values": ["NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-40GB"],
                }
            ]
        }
    ]
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["team", "nvidia.com/gpu"]


def test_the_product_holds_in_every_term_that_the_user_gives(server_pod: Find) -> None:
    zones = [
        {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}
        for zone in ("a", "b")
    ]
    user = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}}
    spec = server_pod(gpu(product=["NVIDIA-A100-SXM4-80GB"]) | {"affinity": user})
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    for term, zone in zip(required["nodeSelectorTerms"], ("a", "b"), strict=True):
        keys = {expression["key"]: expression["values"] for expression in term["matchExpressions"]}
        assert keys == {
            "topology.kubernetes.io/zone": [zone],
            "nvidia.com/gpu.product": ["NVIDIA-A100-SXM4-80GB"],
        }


def test_a_shared_gpu_without_a_name_of_its_own_is_known_by_its_label(server_pod: Find) -> None:
    spec = server_pod(gpu(kind="timeslice", timesliceRenamed=False, product=["NVIDIA-A100-SXM4-40GB"]))
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == [
        "NVIDIA-A100-SXM4-40GB-SHARED"
    ]
