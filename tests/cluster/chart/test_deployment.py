"""The Deployment of Triton pods: arguments, probes, storage, ends and rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]
Find = Callable[..., Object]


def test_the_pod_is_started_with_what_the_values_say(server_pod: Find) -> None:
    (triton,) = server_pod({"probes": {"startup": {"seconds": 900}}})["containers"]
    assert triton["name"] == "triton"
    assert triton["command"] == ["lipserve", "pod"]
    assert triton["args"] == [
        "--repository=/models",
        "--work=/run/lipserve",
        "--profile=onnx",
        "--host=0.0.0.0",
        "--grpc-port=8001",
        "--metrics-port=8002",
        "--health-port=8080",
        "--exit-timeout=130",
        "--ready-timeout=900",
        "--shared-memory=closed",
        "--termination-log=/dev/termination-log",
        "--limit=accepted_mib=256",
        "--limit=pixels=8847360",
    ]
    assert {port["name"]: port["containerPort"] for port in triton["ports"]} == {
        "grpc": 8001,
        "metrics": 8002,
        "health": 8080,
    }


@pytest.mark.parametrize(("seconds", "period", "failures"), [(600, 5, 127), (601, 10, 65), (10, 60, 2)])
def test_the_startup_probe_outlives_the_time_to_get_ready(
    server_pod: Find, seconds: int, period: int, failures: int
) -> None:
    (triton,) = server_pod({"probes": {"startup": {"seconds": seconds, "periodSeconds": period}}})[
        "containers"
    ]
    assert triton["startupProbe"]["failureThreshold"] == failures
    assert (failures - 1) * period >= seconds + 30  # the first probe may come at once
    assert triton["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert triton["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert triton["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(
    ("version", "hook"),
    [
        ("1.29.0", {"exec": {"command": ["sleep", "15"]}}),
        ("1.29.9", {"exec": {"command": ["sleep", "15"]}}),
        ("1.30.0", {"sleep": {"seconds": 15}}),
        ("1.37.0", {"sleep": {"seconds": 15}}),
    ],
)
def test_the_pause_before_the_end_is_the_kubelets_where_it_has_one(
    server_pod: Find, version: str, hook: Object
) -> None:
    spec = server_pod(kube_version=version)
    assert spec["containers"][0]["lifecycle"]["preStop"] == hook
    assert spec["terminationGracePeriodSeconds"] == 165  # 15 before SIGTERM, 130 after it, 20 to end


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_the_server_listens_where_it_is_told(server_pod: Find, address: str) -> None:
    assert f"--host={address}" in server_pod({"listenAddress": address})["containers"][0]["args"]


def test_drain_times_follow_the_longest_segment(server_pod: Find) -> None:
    spec = server_pod({"lifecycle": {"longestSegmentSeconds": 200}})
    assert "--exit-timeout=410" in spec["containers"][0]["args"]
    assert spec["terminationGracePeriodSeconds"] == 445


def test_only_emptydirs_are_written_and_each_has_a_limit(server_pod: Find) -> None:
    spec = server_pod({"sharedMemory": {"size": "3Gi"}, "temporary": {"size": "7Gi", "workSize": "5Gi"}})
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    assert volumes["tmp"]["emptyDir"] == {"sizeLimit": "7Gi"}
    assert volumes["work"]["emptyDir"] == {"sizeLimit": "5Gi"}
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert {path: mount["name"] for path, mount in mounts.items()} == {
        "/models": "models",
        "/run/lipserve": "work",
        "/tmp": "tmp",
        "/dev/shm": "shm",
    }
    assert mounts["/models"]["readOnly"] is True


GPUS: Object = {
    "profile": "tensorrt",
    "accelerator": {"kind": "gpu"},
    "replicas": 2,
    "store": {"pvc": {"accessModes": ["ReadWriteMany"]}},
    "metrics": {"rules": {"enabled": True}},
}


@pytest.mark.parametrize(
    ("values", "surge", "unavailable"),
    [
        (GPUS, 0, 1),
        (GPUS | {"replicas": 1}, 1, 0),  # a single pod stays until the new one is ready
        (
            GPUS
            | {"autoscaling": {"mode": "keda", "minReplicas": 2, "prometheus": {"url": "http://p:9090"}}},
            0,
            1,
        ),
        (
            GPUS
            | {"autoscaling": {"mode": "keda", "minReplicas": 1, "prometheus": {"url": "http://p:9090"}}},
            1,
            0,
        ),
        ({"store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}, 1, 0),
        ({"store": {"pvc": {"accessModes": ["ReadWriteOnce"]}}}, 1, 0),
        ({"rollout": {"maxSurge": "25%", "maxUnavailable": 0}}, "25%", 0),
    ],
)
def test_rollouts_of_what_is_scarce_end_one_of_several_pods_first(
    made: Find, values: Object, surge: Any, unavailable: Any
) -> None:
    strategy = made("Deployment", "lipserve", values)["spec"]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
    }


def test_a_rollout_is_called_stuck_only_after_all_that_may_take_long(made: Find) -> None:
    built = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}
    # Start-up 600, grace 165, a margin of 300; with a build Job 7200 more.
    assert made("Deployment", "lipserve")["spec"]["progressDeadlineSeconds"] == 1065
    assert made("Deployment", "lipserve", built)["spec"]["progressDeadlineSeconds"] == 8265


def test_an_autoscaler_alone_writes_the_number_of_pods(made: Find) -> None:
    assert made("Deployment", "lipserve", {"replicas": 1})["spec"]["replicas"] == 1
    scaled = {"autoscaling": {"mode": "hpa"}, "store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}
    assert "replicas" not in made("Deployment", "lipserve", scaled)["spec"]


def test_pods_spread_over_nodes_within_their_rollout(server_pod: Find) -> None:
    (spread,) = server_pod({"topologySpread": {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 2}})[
        "topologySpreadConstraints"
    ]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert spread["maxSkew"] == 2
    assert spread["matchLabelKeys"] == ["pod-template-hash"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    assert "topologySpreadConstraints" not in server_pod({"topologySpread": {"enabled": False}})


def test_a_new_chart_version_alone_replaces_no_pod(made: Find) -> None:
    deployment = made("Deployment", "lipserve", {"commonLabels": {"team": "media"}})
    assert deployment["metadata"]["labels"]["helm.sh/chart"].startswith("lipserve-")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert "helm.sh/chart" not in labels
    assert labels["team"] == "media"


def test_images_take_the_global_registry_and_a_digest_wins(server_pod: Find) -> None:
    values: Object = {"global": {"imageRegistry": "registry.example.com/team", "imagePullSecrets": ["key"]}}
    spec = server_pod(values)
    assert spec["containers"][0]["image"] == "registry.example.com/team/lipserve-server:0.1.0"
    assert spec["imagePullSecrets"] == [{"name": "key"}]
    digest = "sha256:" + "0123456789abcdef" * 4
    values["image"] = {"registry": "other.example.com", "tag": "1.2", "digest": digest}
    assert server_pod(values)["containers"][0]["image"] == f"other.example.com/lipserve-server@{digest}"


def test_no_label_is_given_twice(render_files: Callable[..., dict[str, str]]) -> None:
    values: Object = {
        "commonLabels": {"team": "media", "cost": "a"},
        "podLabels": {"team": "dubbing", "lipserve-serving": "false"},
    }
    values["envoy"] = {"enabled": True, "podLabels": {"team": "front", "app.kubernetes.io/component": "x"}}

    def labels(name: str) -> dict[str, str]:
        text = render_files(values)[f"lipserve/templates/{name}.yaml"]
        lines = text.partition("  template:")[2].partition("annotations:")[0].splitlines()
        pairs = [line.strip().partition(": ")[::2] for line in lines if ": " in line and "#" not in line]
        assert len(dict(pairs)) == len(pairs)
        return {label: value.strip('"') for label, value in pairs}

    made, front = labels("deployment"), labels("envoy/deployment")
    assert (made["team"], made["cost"], made["lipserve-serving"]) == ("dubbing", "a", "true")
    assert made["app.kubernetes.io/component"] == "server"
    assert (front["team"], front["cost"], front["app.kubernetes.io/component"]) == ("front", "a", "envoy")


def test_what_is_extra_is_added(server_pod: Find) -> None:
    spec = server_pod(
        {
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            "extraContainers": [{"name": "client", "image": "client:1"}],
        }
    )
    assert {"name": "A", "value": "b"} in spec["containers"][0]["env"]
    assert spec["volumes"][-1]["name"] == "more"
    assert spec["containers"][0]["volumeMounts"][-1]["mountPath"] == "/more"
    assert spec["containers"][1] == {"name": "client", "image": "client:1"}


def test_a_paused_rollout_changes_no_pod(made: Find) -> None:
    assert "paused" not in made("Deployment", "lipserve", GPUS)["spec"]
    paused = made("Deployment", "lipserve", GPUS | {"rollout": {"paused": True}})["spec"]
    assert paused.pop("paused") is True
    assert paused == made("Deployment", "lipserve", GPUS)["spec"]
