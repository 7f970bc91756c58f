"""HPA and KEDA: the same numbers, the same behaviour, and what each refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Object = dict[str, Any]
Find = Callable[..., Object]

ROOT = Path(__file__).resolve().parents[3]
SHARED: Object = {"store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}
PROMETHEUS = {"url": "http://prometheus:9090"}


def keda(**values: Any) -> Object:
    return {"mode": "keda", "prometheus": PROMETHEUS} | values


def test_hpa(made: Find) -> None:
    spec = made(
        "HorizontalPodAutoscaler", "lipserve", SHARED | {"autoscaling": {"mode": "hpa", "targetPending": 5}}
    )["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 4)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lipserve"}
    targets = {
        m["external"]["metric"]["name"]: m["external"]["target"]["averageValue"] for m in spec["metrics"]
    }
    assert targets == {
        "lipserve_pending": "5",
        "lipserve_in_flight": "3",
        "lipserve_oldest_pending_seconds_times_pods": "30",
    }
    assert {m["external"]["metric"]["selector"]["matchLabels"]["job"] for m in spec["metrics"]} == {
        "lipserve"
    }
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600


def test_the_documents_rules_of_the_adapter_give_the_metrics_of_the_hpa(made: Find) -> None:
    text = (ROOT / "docs/operations/autoscaling.md").read_text()
    (block,) = re.findall(
        r"^# Values of prometheus-adapter's chart\.\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    external = yaml.safe_load(block)["rules"]["external"]
    names = {rule["name"]["as"]: rule["seriesQuery"].partition("{")[0] for rule in external}
    spec = made("HorizontalPodAutoscaler", "lipserve", SHARED | {"autoscaling": {"mode": "hpa"}})["spec"]
    assert names.keys() == {metric["external"]["metric"]["name"] for metric in spec["metrics"]}
    recorded = yaml.safe_load((ROOT / "helm/lipserve/files/rules/recording.yaml").read_text())["groups"][0][
        "rules"
    ]
    assert set(names.values()) <= {rule["record"] for rule in recorded}


def test_keda_asks_prometheus_and_takes_no_silence_for_rest(made: Find) -> None:
    auth = PROMETHEUS | {"authenticationRef": "prometheus", "job": "lip-sync"}
    spec = made("ScaledObject", "lipserve", SHARED | {"autoscaling": keda(prometheus=auth, minReplicas=2)})[
        "spec"
    ]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (2, 4, 900)
    assert spec["fallback"] == {"replicas": 2, "failureThreshold": 4, "behavior": "currentReplicasIfHigher"}
    assert [trigger["name"] for trigger in spec["triggers"]] == ["pending", "in-flight", "oldest"]
    for trigger in spec["triggers"]:
        # KEDA falls back with averages alone.
        assert trigger["metricType"] == "AverageValue"
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert trigger["metadata"]["query"].endswith('{namespace="lipserve",job="lip-sync"}')
        assert trigger["authenticationRef"] == {"name": "prometheus"}


def test_both_scale_alike(made: Find) -> None:
    hpa = made("HorizontalPodAutoscaler", "lipserve", SHARED | {"autoscaling": {"mode": "hpa"}})["spec"]
    scaled = made("ScaledObject", "lipserve", SHARED | {"autoscaling": keda()})["spec"]
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]


def test_from_zero_by_the_calls_that_envoy_had_no_pod_for(made: Find) -> None:
    values = SHARED | {"autoscaling": keda(minReplicas=0), "envoy": {"enabled": True}}
    triggers = {
        t["name"]: t["metadata"] for t in made("ScaledObject", "lipserve", values)["spec"]["triggers"]
    }
    assert triggers["unserved"]["query"] == 'lipserve:unserved:increase2m{namespace="lipserve"}'
    assert triggers["unserved"]["activationThreshold"] == "0"
    assert "envoy_cluster_membership_total" in triggers["pending"]["query"]


def test_from_zero_by_a_queue_of_the_users(made: Find) -> None:
    queue = {"type": "redis", "metadata": {"address": "redis:6379", "listName": "clips", "listLength": "5"}}
    values = SHARED | {"autoscaling": keda(minReplicas=0, extraTriggers=[queue])}
    triggers = made("ScaledObject", "lipserve", values)["spec"]["triggers"]
    assert triggers[-1] == queue
    assert triggers[0]["metadata"]["query"] == (
        'lipserve:pending{namespace="lipserve",job="lipserve"}'
        ' or 0 * absent(lipserve_ready{namespace="lipserve",job="lipserve"})'
    )


def test_the_autoscaler_alone_writes_the_replicas(made: Find) -> None:
    assert "replicas" not in made("Deployment", "lipserve", SHARED | {"autoscaling": keda()})["spec"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"mode": "hpa", "minReplicas": 0}, "autoscaling.minReplicas: an HPA does not scale to zero; give 1"),
        (
            keda(minReplicas=0),
            "autoscaling.minReplicas: without pods nothing tells of demand; set envoy.enabled",
        ),
        (keda(minReplicas=5), "autoscaling.minReplicas: 5 is more than maxReplicas, 4; give 4 or less"),
        ({"mode": "keda"}, "autoscaling.prometheus.url: KEDA has no Prometheus to ask; give its address"),
        (
            keda(fallback={"replicas": 9}),
            "autoscaling.fallback.replicas: 9 is not between minReplicas and maxReplicas; give 1 to 4",
        ),
        (
            keda(scaleIn={"stabilizationSeconds": 30}),
            "autoscaling.scaleIn.stabilizationSeconds: 30 s take pods away between two segments of 60 s",
        ),
        (
            {"mode": "hpa", "extraTriggers": [{"type": "redis", "metadata": {"address": "redis:6379"}}]},
            "autoscaling.extraTriggers: only the mode keda reads them; use it, or leave them out",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    render_error: Callable[[Object], str], values: Object, line: str
) -> None:
    assert line in render_error(SHARED | {"autoscaling": values})
