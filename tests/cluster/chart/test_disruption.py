"""The disruption budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]


def test_one_pod_at_a_time_may_go_and_a_sick_one_always(made: Find, names: Names) -> None:
    spec = made("PodDisruptionBudget", "lipserve")["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    assert names("PodDisruptionBudget", {"podDisruptionBudget": {"enabled": False}}) == []


def test_a_minimum_replaces_the_maximum(made: Find) -> None:
    values = {
        "replicas": 3,
        "store": {"pvc": {"accessModes": ["ReadWriteMany"]}},
        "podDisruptionBudget": {"minAvailable": "50%"},
    }
    spec = made("PodDisruptionBudget", "lipserve", values)["spec"]
    assert spec["minAvailable"] == "50%"
    assert "maxUnavailable" not in spec
