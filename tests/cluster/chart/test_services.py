"""The Services: one that balances connections, one with an address for each pod."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]

ANYBODY: Object = {"envoy": {"auth": {"anonymous": True}}}
OPEN: Object = {
    "sharedMemory": {"clients": "open"},
    "service": {"enabled": False},
    "tests": {"enabled": False},
    "extraContainers": [{"name": "client", "image": "client:1"}],
}


def ports(service: Object) -> dict[str, tuple[Any, ...]]:
    return {
        port["name"]: (port["port"], port["targetPort"], port["protocol"], port["appProtocol"])
        for port in service["spec"]["ports"]
    }


def test_the_balanced_service_shows_grpc_alone(made: Find) -> None:
    service = made(
        "Service", "lipserve", ANYBODY | {"service": {"type": "NodePort", "annotations": {"a": "b"}}}
    )
    assert service["spec"]["type"] == "NodePort"
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert ports(service) == {"grpc": (8001, "grpc", "TCP", "grpc")}
    assert service["spec"]["selector"] == {
        "app.kubernetes.io/name": "lipserve",
        "app.kubernetes.io/instance": "lipserve",
        "app.kubernetes.io/component": "server",
        "lipserve-serving": "true",
    }


def test_the_headless_service_has_every_port(made: Find) -> None:
    service = made("Service", "lipserve-headless")
    assert service["spec"]["clusterIP"] == "None"
    assert ports(service) == {
        "grpc": (8001, "grpc", "TCP", "grpc"),
        "metrics": (8002, "metrics", "TCP", "http"),
        "health": (8080, "health", "TCP", "http"),
    }


def test_open_shared_memory_is_for_the_pod_itself(made: Find, names: Names, server_pod: Find) -> None:
    assert names("Service", OPEN) == ["lipserve-headless"]
    assert set(ports(made("Service", "lipserve-headless", OPEN))) == {"metrics", "health"}
    # lipserve pod takes gRPC to loopback then; probes and Prometheus still reach the other ports.
    assert "--shared-memory=open" in server_pod(OPEN)["containers"][0]["args"]


def test_a_pod_can_be_taken_out_of_every_service_and_kept_by_its_deployment(made: Find) -> None:
    deployment = made("Deployment", "lipserve")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    kept = deployment["spec"]["selector"]["matchLabels"]
    for name in ("lipserve", "lipserve-headless"):
        selector = made("Service", name)["spec"]["selector"]
        assert selector.items() <= labels.items()
        assert selector.keys() - kept.keys() == {"lipserve-serving"}


def test_outside_calls_keep_their_address_where_that_is_asked_for(made: Find) -> None:
    def policy(**service: object) -> object:
        envoy = ANYBODY["envoy"] | {"enabled": True, "service": service}
        spec = made("Service", "lipserve-envoy", {"envoy": envoy})["spec"]
        return spec.get("externalTrafficPolicy")

    assert policy(type="LoadBalancer") == "Cluster"
    assert policy(type="LoadBalancer", externalTrafficPolicy="Local") == "Local"
    assert policy(type="NodePort", externalTrafficPolicy="Local") == "Local"
    assert policy(externalTrafficPolicy="Local") is None  # Kubernetes refuses it of a ClusterIP
