"""Service accounts, rights, Secrets from elsewhere, and the security of every pod."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]
Render = Callable[..., list[Object]]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for made in objects:
        if made["kind"] == "Pod":
            yield made["metadata"]["name"], made["spec"]
        elif "template" in made.get("spec", {}):
            yield made["metadata"]["name"], made["spec"]["template"]["spec"]


def test_no_pod_has_a_token_and_no_role_is_made_unless_asked(render: Render, names: Names) -> None:
    assert {spec["automountServiceAccountToken"] for _, spec in pods(render({}))} == {False}
    assert names("Role") == names("RoleBinding") == []


def test_the_deletion_cost_needs_one_verb_on_pods(made: Find, server_pod: Find) -> None:
    values = {"autoscaling": {"deletionCost": True}}
    spec = server_pod(values)
    assert spec["automountServiceAccountToken"] is True
    assert "--deletion-cost" in spec["containers"][0]["args"]
    assert made("Role", "lipserve-deletion-cost", values)["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}
    ]
    binding = made("RoleBinding", "lipserve-deletion-cost", values)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "lipserve", "namespace": "lipserve"}]
    assert made("ServiceAccount", "lipserve", values)["automountServiceAccountToken"] is False


def test_an_account_that_exists_is_used(server_pod: Find, names: Names) -> None:
    values = {"serviceAccount": {"create": False, "name": "shared"}}
    assert server_pod(values)["serviceAccountName"] == "shared"
    assert names("ServiceAccount", values) == []


def test_secrets_come_from_a_store(made: Find) -> None:
    wanted = {"secretKey": "AWS_ACCESS_KEY_ID", "key": "lipserve/s3", "property": "id"}
    values = {
        "externalSecrets": {
            "enabled": True,
            "secretStoreRef": {"name": "vault", "kind": "ClusterSecretStore"},
            "secrets": [{"name": "lipserve-s3", "data": [wanted]}],
        }
    }
    secret = made("ExternalSecret", "lipserve-s3", values)
    assert secret["apiVersion"] == "external-secrets.io/v1"
    assert secret["spec"] == {
        "refreshInterval": "1h",
        "secretStoreRef": {"name": "vault", "kind": "ClusterSecretStore"},
        "target": {"name": "lipserve-s3", "creationPolicy": "Owner"},
        "data": [{"secretKey": "AWS_ACCESS_KEY_ID", "remoteRef": {"key": "lipserve/s3", "property": "id"}}],
    }


def test_every_container_of_every_pod_is_restricted(render: Render) -> None:
    seen = 0
    for path in sorted((ROOT / "helm/lipserve/ci").glob("*.yaml")):
        for name, spec in pods(render(yaml.safe_load(path.read_text()))):
            security = spec["securityContext"]
            assert security["runAsNonRoot"] is True, name
            assert security["runAsUser"] == 1000, name
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert spec["enableServiceLinks"] is False, name
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
            assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
            for container in spec.get("initContainers", []) + spec["containers"]:
                seen += 1
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                }, (name, container["name"])
                assert "memory" in container["resources"]["limits"], (name, container["name"])
    assert seen >= 20


def test_large_users_stay_whole_numbers(server_pod: Find) -> None:
    users = {"runAsUser": 1000650000, "runAsGroup": 1000650000, "fsGroup": 1000650000}  # OpenShift's
    security = server_pod({"podSecurityContext": users | {"supplementalGroups": [1000650001]}})[
        "securityContext"
    ]
    assert {key: security[key] for key in users} == users
    assert security["supplementalGroups"] == [1000650001]
