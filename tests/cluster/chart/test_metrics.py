"""Monitors, rules and dashboards of the chart, and the spans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]

FILES = Path(__file__).resolve().parents[3] / "helm/lipserve/files"
SCRAPED: Object = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "kps"}}}}


def rules(made: Find, **values: Any) -> list[Object]:
    spec = made("PrometheusRule", "lipserve", {"metrics": {"rules": {"enabled": True, **values}}})["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def test_nothing_is_made_unless_it_is_asked_for(names: Names) -> None:
    for kind in ("ServiceMonitor", "PrometheusRule", "ScaledObject", "HorizontalPodAutoscaler"):
        assert names(kind) == []


def test_prometheus_reads_every_pod_whatever_its_state(made: Find) -> None:
    service = made("Service", "lipserve-metrics", SCRAPED)
    monitor = made("ServiceMonitor", "lipserve", SCRAPED)
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["clusterIP"] == "None"
    assert "lipserve-serving" not in service["spec"]["selector"]
    assert monitor["metadata"]["labels"]["release"] == "kps"
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert [port["name"] for port in service["spec"]["ports"]] == ["metrics", "health"]
    for endpoint in monitor["spec"]["endpoints"]:
        assert endpoint["path"] == "/metrics"
        assert endpoint["relabelings"] == [
            {"targetLabel": "job", "replacement": "lipserve", "action": "replace"}
        ]


def test_envoy_is_read_where_it_runs(made: Find, names: Names) -> None:
    values = SCRAPED | {"envoy": {"enabled": True}}
    assert names("ServiceMonitor", SCRAPED) == ["lipserve"]
    monitor = made("ServiceMonitor", "lipserve-envoy", values)
    service = made("Service", "lipserve-envoy-metrics", values)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/stats/prometheus")
    assert endpoint["relabelings"][0]["replacement"] == "lipserve-envoy"


def test_the_rules_are_those_of_the_files(made: Find) -> None:
    files = [yaml.safe_load((FILES / f"rules/{name}.yaml").read_text()) for name in ("recording", "alerts")]
    told = made("PrometheusRule", "lipserve", {"metrics": {"rules": {"enabled": True}}})["spec"]["groups"]
    assert told == [group for file in files for group in file["groups"]]


def test_alerts_can_be_left_out_labelled_and_linked(made: Find) -> None:
    base = "https://git.example.com/lipserve/blob/main/"
    made_rules = rules(made, disabled=["LipServeAtMaximum"], alertLabels={"team": "video"}, runbookBase=base)
    alerts = {rule["alert"]: rule for rule in made_rules if "alert" in rule}
    assert "LipServeAtMaximum" not in alerts
    assert len(alerts) == len([rule for rule in rules(made) if "alert" in rule]) - 1
    dead = alerts["LipServeModelDead"]
    assert dead["labels"] == {"severity": "critical", "team": "video"}
    assert dead["annotations"]["runbook_url"] == f"{base}docs/operations/runbooks.md#lipservemodeldead"


def test_a_rest_at_zero_pods_alarms_nobody(made: Find) -> None:
    values = {
        "metrics": {"rules": {"enabled": True}},
        "envoy": {"enabled": True},
        "autoscaling": {"mode": "keda", "minReplicas": 0, "prometheus": {"url": "http://prometheus:9090"}},
        "store": {"pvc": {"accessModes": ["ReadWriteMany"]}},
    }
    groups = made("PrometheusRule", "lipserve", values)["spec"]["groups"]
    assert "LipServeScrapeAbsent" not in {rule.get("alert") for group in groups for rule in group["rules"]}


def test_rules_know_a_release_that_has_another_name(made: Find) -> None:
    """What kube-state-metrics tells is found by names: the release's own is among them."""
    values: Object = {"metrics": {"rules": {"enabled": True}}, "fullnameOverride": "dubbing"}
    rules = [
        rule
        for group in made("PrometheusRule", "dubbing", values)["spec"]["groups"]
        for rule in group["rules"]
    ]
    read = [rule["expr"] for rule in rules if "kube_" in rule["expr"] and "=~" in rule["expr"]]
    assert len(read) == 6
    assert all('=~".*(lipserve|dubbing).*' in expr and '".*lipserve.*' not in expr for expr in read)


def test_an_alert_that_does_not_exist_is_not_left_out(render_error: Callable[[Object], str]) -> None:
    told = render_error({"metrics": {"rules": {"disabled": ["LipServeTypo"]}}})
    assert (
        "metrics.rules.disabled: there is no alert LipServeTypo; files/rules/alerts.yaml has their names"
        in told
    )


@pytest.mark.parametrize("path", sorted((FILES / "dashboards").glob("*.json")), ids=lambda path: path.stem)
def test_a_dashboard_arrives_unchanged(made: Find, path: Path) -> None:
    values = {"metrics": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Video"}}}}
    found = made("ConfigMap", f"lipserve-{path.stem.removeprefix('lipserve-')}", values)
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Video"}
    assert json.loads(found["data"][path.name]) == json.loads(path.read_text())


def test_spans_go_where_the_values_say(server_pod: Callable[..., Object]) -> None:
    url = "http://otel-collector.tracing.svc:4318/v1/traces"
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}]
    pod = server_pod({"tracing": {"url": url}, "networkPolicy": {"traces": {"to": peers}}})
    assert f"--trace-to={url}" in pod["containers"][0]["args"]
    assert not [argument for argument in server_pod()["containers"][0]["args"] if "trace" in argument]
