"""Who reaches the pods of jobs and whom they reach, by which ways in, and how their number is found."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.scenarios import laid

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]

CI = Path(__file__).resolve().parents[4] / "helm/lipserve/ci"
BASE: Object = {
    "jobs": {
        "enabled": True,
        "store": {"bucket": "films", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants"},
        "session": {"existingSecret": "session"},
    }
}
FULL: Object = yaml.safe_load((CI / "jobs-values.yaml").read_text())
IDENTITY: Object = yaml.safe_load((CI / "jobs-identity-values.yaml").read_text())


def component(peer: Object) -> str | None:
    labels: Object = peer.get("podSelector", {}).get("matchLabels", {})
    return labels.get("app.kubernetes.io/component")


def policy(made: Find, kind: str, values: Object = BASE) -> Object:
    spec: Object = made("NetworkPolicy", f"lipserve-jobs-{kind}", values)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    return spec


def ways(rules: list[Object], side: str) -> list[tuple[list[str | None], list[Any]]]:
    """Return the components (None: others) and the ports of each rule."""
    return [
        ([component(peer) for peer in rule[side]], [one["port"] for one in rule.get("ports", [])])
        for rule in rules
    ]


def test_gateways_hear_callers_and_prometheus_at_a_port_each(made: Find) -> None:
    spec = policy(made, "gateway")
    assert ways(spec["ingress"], "from") == [([None], ["http"]), ([None], ["metrics"])]
    assert ways(spec["egress"], "to") == [
        ([None], [53, 53]),
        (["jobs-nats"], ["nats"]),
        ([None, None], [443]),
    ]
    assert spec["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"lipserve-client": "true"}}}]


def test_gateways_fetch_the_keys_of_tokens_where_tokens_are_taken(made: Find) -> None:
    rules = policy(made, "gateway", IDENTITY)["egress"]
    assert ways(rules, "to")[-1] == ([None, None], [443])
    assert len(rules) == len(policy(made, "gateway")["egress"]) + 2  # and the pod's identity
    identity = [peer["ipBlock"]["cidr"] for peer in rules[3]["to"]]
    assert identity == ["169.254.170.23/32", "fd00:ec2::23/128"]


def test_workers_call_triton_and_the_internet_and_nobody_calls_them(made: Find) -> None:
    spec = policy(made, "worker")
    assert ways(spec["ingress"], "from") == [([None], ["metrics"])]
    assert ways(spec["egress"], "to")[3:] == [(["server"], ["grpc"]), ([None, None], [443])]
    assert ways(policy(made, "worker", FULL)["egress"], "to")[3] == (["envoy"], ["grpc"])
    silent = laid(BASE, {"networkPolicy": {"prometheus": []}})
    assert policy(made, "worker", silent)["ingress"] == []


def test_triton_and_envoy_let_workers_in(made: Find) -> None:
    for name, values, expected in (
        ("lipserve", BASE, ["test", "jobs-worker", None]),
        ("lipserve-envoy", FULL, ["test", "jobs-worker", None]),
        ("lipserve", FULL, ["envoy"]),
    ):
        peers = made("NetworkPolicy", name, values)["spec"]["ingress"][0]["from"]
        assert [component(peer) for peer in peers] == expected
    elsewhere = {"triton": {"url": "a:8001"}, "networkPolicy": {"triton": [{"podSelector": {}}]}}
    peers = made("NetworkPolicy", "lipserve", laid(BASE, {"jobs": elsewhere}))["spec"]["ingress"][0]["from"]
    assert "jobs-worker" not in [component(peer) for peer in peers]


@pytest.mark.parametrize(
    ("address", "open"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("64:ff9b::5db8:d822", True),  # a public address through NAT64
        ("10.96.0.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("fd00::1", False),
        ("fe80::1", False),
    ],
)
def test_workers_reach_public_addresses_and_no_private_one(made: Find, address: str, open: bool) -> None:
    for rule in (policy(made, "worker")["egress"][2], policy(made, "worker")["egress"][-1]):
        asked = ipaddress.ip_address(address)
        reached = False
        for peer in rule["to"]:
            inside = asked in ipaddress.ip_network(peer["ipBlock"]["cidr"])
            left = any(asked in ipaddress.ip_network(block) for block in peer["ipBlock"]["except"])
            reached |= inside and not left
        assert reached is open


def test_no_fetching_leaves_storage_and_triton(made: Find) -> None:
    inside = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}]
    values = laid(BASE, {"jobs": {"networkPolicy": {"internet": [], "objectStore": {"to": inside}}}})
    assert ways(policy(made, "worker", values)["egress"], "to") == [
        ([None], [53, 53]),
        (["jobs-nats"], ["nats"]),
        ([None], [443]),
        (["server"], ["grpc"]),
    ]


def test_nats_hears_gateways_workers_and_itself(made: Find) -> None:
    spec = policy(made, "nats")
    assert ways(spec["ingress"], "from") == [
        (["jobs-gateway", "jobs-worker"], ["nats"]),
        (["jobs-nats"], ["cluster"]),
    ]
    assert ways(spec["egress"], "to") == [([None], [53, 53]), (["jobs-nats"], ["cluster"])]


def test_an_ingress_passes_bodies_and_events_on_as_they_come(made: Find) -> None:
    ingress = made("Ingress", "lipserve-jobs", FULL)
    told = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert (told["proxy-body-size"], told["proxy-request-buffering"], told["proxy-buffering"]) == (
        "0",
        "off",
        "off",
    )
    assert told["proxy-read-timeout"] == told["proxy-send-timeout"] == "3600"
    assert ingress["spec"]["tls"] == [{"hosts": ["films.example.com"], "secretName": "films-example-com"}]
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "lipserve-jobs", "port": {"name": "http"}}
    own = laid(
        FULL, {"jobs": {"ingress": {"annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "1g"}}}}
    )
    annotations = made("Ingress", "lipserve-jobs", own)["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "1g"


def test_a_route_has_no_time_limit(made: Find) -> None:
    spec = made("HTTPRoute", "lipserve-jobs", IDENTITY)["spec"]
    (rule,) = spec["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "lipserve-jobs", "port": 80}]
    service = made("Service", "lipserve-jobs", IDENTITY)["spec"]
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(80, "http")]


def test_prometheus_reads_gateways_and_workers_as_one_job(made: Find) -> None:
    for kind in ("gateway", "worker"):
        monitor = made("ServiceMonitor", f"lipserve-jobs-{kind}", FULL)["spec"]
        service = made("Service", f"lipserve-jobs-{kind}-metrics", FULL)
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert service["spec"]["publishNotReadyAddresses"] is True
        (endpoint,) = monitor["endpoints"]
        assert endpoint["relabelings"][0]["replacement"] == "lipserve-jobs"


def test_workers_follow_what_waits_and_end_with_the_last_thing_to_do(made: Find, names: Names) -> None:
    assert names("ScaledObject", BASE) == []
    spec = made("ScaledObject", "lipserve-jobs-worker", FULL)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 20)
    assert "replicas" not in made("Deployment", "lipserve-jobs-worker", FULL)["spec"]
    labels = '{namespace="lipserve",job="lipserve-jobs"}'
    told = {one["name"]: (one["metadata"]["query"], one["metadata"]["threshold"]) for one in spec["triggers"]}
    assert told == {
        "steps": (f"lipserve:jobs_steps{labels}", "6"),  # the places of a worker
        "oldest": (f"lipserve:jobs_oldest_queued_seconds:times_workers{labels}", "60"),
        "left": (f"clamp_max(lipserve:jobs_left{labels}, 1)", "1"),
    }
    for one in spec["triggers"]:
        assert one["metricType"] == "AverageValue"
        assert one["metadata"]["ignoreNullValues"] == "false"
        assert one["metadata"]["activationThreshold"] == "0"


def test_gateways_follow_their_cpu(made: Find, names: Names) -> None:
    assert names("HorizontalPodAutoscaler", BASE) == []
    spec = made("HorizontalPodAutoscaler", "lipserve-jobs-gateway", IDENTITY)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert "replicas" not in made("Deployment", "lipserve-jobs-gateway", IDENTITY)["spec"]


def test_what_may_be_away_while_a_node_is_emptied(made: Find) -> None:
    for kind, most in (("gateway", 2), ("worker", "50%")):
        spec = made("PodDisruptionBudget", f"lipserve-jobs-{kind}", FULL)["spec"]
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (most, "AlwaysAllow")
