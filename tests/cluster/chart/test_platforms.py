"""What other clusters ask for: OpenShift, IPv6, claims of devices, mirrors, schedulers, own objects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.invariants import containers, pods

Object = dict[str, Any]
Find = Callable[..., Object]
Render = Callable[..., list[Object]]

A100: Object = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}, "envoy": {"enabled": True}}
S3: Object = {"kind": "s3", "s3": {"bucket": "m", "workloadIdentity": True}}


def test_users_are_the_cluster_s_where_they_are_null(render: Render) -> None:
    users = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    for owner, _, spec in pods(render(A100 | users)):
        assert spec["securityContext"].keys() == {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}, (
            owner
        )
    for owner, _, spec in pods(render(A100)):
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 1000, owner


def test_dns_is_asked_at_the_ports_of_its_pods(render: Render) -> None:
    dns = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}]
    policy = {"networkPolicy": {"dns": dns, "dnsPorts": [53, 5353]}}
    policies = [made for made in render(A100 | {"store": S3} | policy) if made["kind"] == "NetworkPolicy"]
    asked = [rule for made in policies for rule in made["spec"]["egress"] if rule["to"] == dns]
    assert len(asked) == len(policies) == 4
    for rule in asked:
        assert [(port["port"], port["protocol"]) for port in rule["ports"]] == [
            (53, "UDP"),
            (53, "TCP"),
            (5353, "UDP"),
            (5353, "TCP"),
        ]


def test_what_leaves_a_pod_may_leave_by_ipv6(render: Render) -> None:
    jwks = {"uri": "https://login.example.com/jwks.json"}
    jwt = {"issuer": "https://login.example.com/", "audiences": ["a"], "jwks": jwks}
    envoy = {"enabled": True, "auth": {"mode": "jwt", "jwt": jwt}}
    for made in render(A100 | {"store": S3, "envoy": envoy}):
        if made["kind"] != "NetworkPolicy":
            continue
        for rule in made["spec"]["egress"]:
            blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
            assert any(":" in block for block in blocks) or not blocks, made["metadata"]["name"]


def test_a_claim_asks_for_devices_beside_no_plugin(render: Render, made: Find) -> None:
    selector = 'device.attributes["gpu.nvidia.com"].architecture == "Ampere"'
    accelerator = {"kind": "dra", "count": 2, "selectors": [selector]}
    objects = render(A100 | {"accelerator": accelerator})
    (template,) = [one for one in objects if one["kind"] == "ResourceClaimTemplate"]
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"] == {
        "deviceClassName": "gpu.nvidia.com",
        "allocationMode": "ExactCount",
        "count": 2,
        "selectors": [{"cel": {"expression": selector}}],
    }
    holders = set()
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            assert "nvidia.com/gpu" not in container["resources"]["limits"]
            if container["resources"].get("claims") == [{"name": "accelerator"}]:
                holders.add((owner.partition("-build-")[0], container["name"]))
                assert spec["resourceClaims"] == [
                    {"name": "accelerator", "resourceClaimTemplateName": template["metadata"]["name"]}
                ]
    assert holders == {
        ("Deployment/lipserve", "wait-for-build"),
        ("Deployment/lipserve", "triton"),
        ("Job/lipserve", "engines"),
    }
    # A template cannot be changed.
    other = render(A100 | {"accelerator": {"kind": "dra", "count": 1}})
    names = {one["metadata"]["name"] for one in other if one["kind"] == "ResourceClaimTemplate"}
    assert template["metadata"]["name"] not in names


@pytest.mark.parametrize("store", [{}, S3], ids=["claim", "bucket"])
def test_one_registry_is_before_every_image(render: Render, store: Object) -> None:
    mirror = {"global": {"imageRegistry": "mirror.example.com/team"}}
    objects = render(A100 | {"store": store} | mirror)
    images = {container["image"] for _, _, spec in pods(objects) for container in containers(spec)}
    assert {image for image in images if not image.startswith("mirror.example.com/team/")} == set()
    assert "mirror.example.com/team/envoyproxy/envoy:v1.40.0" in images
    own = {"envoy": {"enabled": True, "image": {"registry": "other.example.com"}}}
    found = {c["image"] for _, _, spec in pods(render(A100 | mirror | own)) for c in containers(spec)}
    assert "other.example.com/envoyproxy/envoy:v1.40.0" in found


def test_images_of_others_come_from_where_they_are_published(render: Render) -> None:
    objects = render(A100 | {"store": S3})
    images = {container["image"] for _, _, spec in pods(objects) for container in containers(spec)}
    assert {image for image in images if image.startswith("docker.io/")} == {
        "docker.io/envoyproxy/envoy:v1.40.0",
        "docker.io/rclone/rclone:1.71.0",
    }


def test_a_scheduler_places_pods_and_the_job_has_its_own(render: Render) -> None:
    build = {"engines": {"build": {"schedulerName": "batch"}}}
    found = {
        re.sub(r"-build-.*", "-build", owner): spec.get("schedulerName")
        for owner, _, spec in pods(render(A100 | {"schedulerName": "volcano"} | build))
    }
    assert found == {
        "Deployment/lipserve": "volcano",
        "Deployment/lipserve-envoy": "volcano",
        "Job/lipserve-build": "batch",
        "Pod/lipserve-test-health": None,
        "Pod/lipserve-test-smoke": None,
    }


def test_objects_beside_are_rendered_with_the_release(made: Find) -> None:
    beside = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "{{ .Release.Name }}-notes", "namespace": "{{ .Release.Namespace }}"},
        "data": {"profile": "{{ .Values.profile }}"},
    }
    found = made("ConfigMap", "lipserve-notes", {"extraObjects": [beside]})
    assert found["metadata"]["namespace"] == "lipserve"
    assert found["data"] == {"profile": "onnx"}


def test_ranges_of_a_balancer_are_let_in_and_survive_the_way(
    made: Find, render_error: Callable[[Object], str]
) -> None:
    ranges = ["203.0.113.0/24", "2001:db8::/32"]
    service = {"type": "LoadBalancer", "loadBalancerSourceRanges": ranges, "externalTrafficPolicy": "Local"}
    envoy = {
        "enabled": True,
        "service": service,
        "auth": {"mode": "apiKey", "apiKey": {"existingSecret": "k"}},
    }
    peers = made("NetworkPolicy", "lipserve-envoy", {"envoy": envoy})["spec"]["ingress"][0]["from"]
    assert [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer] == ranges
    assert made("Service", "lipserve-envoy", {"envoy": envoy})["spec"]["loadBalancerSourceRanges"] == ranges
    through = {"envoy": envoy | {"service": service | {"externalTrafficPolicy": "Cluster"}}}
    line = "envoy.service.loadBalancerSourceRanges: with externalTrafficPolicy Cluster packets come by"
    assert line in render_error(through)
    # Where no policy looks at addresses, kube-proxy and the balancer do.
    assert made("Service", "lipserve-envoy", through | {"networkPolicy": {"enabled": False}})
