"""Network policies: what is not listed is denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]

S3: Object = {"store": {"kind": "s3", "s3": {"bucket": "m", "existingSecret": "s"}}}


def component(peer: Object) -> str | None:
    labels: Object = peer.get("podSelector", {}).get("matchLabels", {})
    return labels.get("app.kubernetes.io/component")


def ports(rule: Object) -> list[Any]:
    return [port["port"] for port in rule["ports"]]


def egress(made: Find, values: Object, name: str = "lipserve") -> list[list[Any]]:
    return [ports(rule) for rule in made("NetworkPolicy", name, values)["spec"]["egress"] or []]


def test_the_server_hears_clients_and_prometheus_and_calls_nobody(made: Find) -> None:
    spec = made("NetworkPolicy", "lipserve")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    assert spec["egress"] == []
    clients, prometheus = spec["ingress"]
    assert ports(clients) == ["grpc"]
    assert [component(peer) for peer in clients["from"]] == ["test", None]
    assert clients["from"][1] == {"podSelector": {"matchLabels": {"lipserve-client": "true"}}}
    assert ports(prometheus) == ["metrics", "health"]


def test_with_envoy_clients_reach_only_envoy(made: Find) -> None:
    values = {"envoy": {"enabled": True}}
    direct = made("NetworkPolicy", "lipserve", values)["spec"]["ingress"][0]
    assert [component(peer) for peer in direct["from"]] == ["envoy"]
    assert ports(direct) == ["grpc", "health"]
    envoy = made("NetworkPolicy", "lipserve-envoy", values)["spec"]
    assert [component(peer) for peer in envoy["ingress"][0]["from"]] == ["test", None]
    assert [ports(rule) for rule in envoy["egress"]] == [[53, 53], ["grpc", "health"]]
    assert component(envoy["egress"][1]["to"][0]) == "server"


def test_envoy_fetches_keys_of_tokens_only_from_an_address(made: Find) -> None:
    jwt = {"issuer": "i", "audiences": ["a"], "jwks": {"uri": "https://id.example.com/keys"}}
    values = {"envoy": {"enabled": True, "auth": {"mode": "jwt", "jwt": jwt}}}
    assert egress(made, values, "lipserve-envoy")[2] == [443]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (S3, [[53, 53], [443]]),
        (
            {"store": {"kind": "gcs", "gcs": {"bucket": "m", "workloadIdentity": True}}},
            [[53, 53], [443], [80, 988]],
        ),
        ({"autoscaling": {"deletionCost": True}}, [[443, 6443]]),
        (
            {
                "tracing": {"url": "http://otel.tracing.svc:4318/v1/traces"},
                "networkPolicy": {"traces": {"to": [{"namespaceSelector": {}}]}},
            },
            [[53, 53], [4318]],
        ),
    ],
)
def test_what_needs_to_call_may_call_that_alone(
    made: Find, values: Object, expected: list[list[Any]]
) -> None:
    assert egress(made, values) == expected


def test_the_build_job_reaches_the_store_and_is_reached_by_nobody(made: Find, names: Names) -> None:
    build = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}
    assert made("NetworkPolicy", "lipserve-build", build)["spec"]["ingress"] == []
    assert egress(made, build, "lipserve-build") == []
    assert egress(made, build | S3, "lipserve-build") == [[53, 53], [443]]
    assert "lipserve-build" not in names("NetworkPolicy")


def test_the_tests_reach_the_server_they_test(made: Find) -> None:
    spec = made("NetworkPolicy", "lipserve-test")["spec"]
    assert spec["ingress"] == []
    assert component(spec["egress"][1]["to"][0]) == "server"
    spec = made("NetworkPolicy", "lipserve-test", {"envoy": {"enabled": True}})["spec"]
    assert component(spec["egress"][1]["to"][0]) == "envoy"


def test_it_can_be_left_to_the_cluster(names: Names) -> None:
    assert names("NetworkPolicy", {"networkPolicy": {"enabled": False}, "envoy": {"enabled": True}}) == []
