"""The pods of `helm test`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve.contracts import DEFAULT_TIER, TIER_NAMES

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/lipserve"
Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]


def command(pod: Object) -> list[str]:
    found: list[str] = pod["spec"]["containers"][0]["command"]
    return found


def test_every_model_and_a_real_clip_are_tried_through_the_service(made: Find, names: Names) -> None:
    assert names("Pod") == ["lipserve-test-health", "lipserve-test-smoke"]
    health = made("Pod", "lipserve-test-health")
    assert command(health) == ["lipserve", "health", "--deep", "--url", "lipserve.lipserve.svc:8001"]
    assert health["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }
    smoke = made("Pod", "lipserve-test-smoke", {"tests": {"timeoutSeconds": 90, "tier": "latentsync"}})
    target = ["--url", "lipserve.lipserve.svc:8001"]
    assert command(smoke) == ["lipserve", "smoke", "--tier", "latentsync", *target]
    assert smoke["spec"]["activeDeadlineSeconds"] == 90
    assert smoke["spec"]["restartPolicy"] == "Never"
    assert names("Pod", {"tests": {"enabled": False}}) == []


def test_any_tier_can_make_the_clip() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["tests"]["properties"]["tier"]["enum"] == list(TIER_NAMES)


def test_they_call_as_clients_do_with_keys_and_certificates(made: Find) -> None:
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "test"}}}
    values = {
        "envoy": {"enabled": True},
        "tls": {"enabled": True, "secretName": "front", "clients": {"required": True, "caSecretName": "ca"}},
        "tests": {
            "tls": {"secretName": "client"},
            "arguments": ["--header", "x-api-key=$(KEY)"],
            "extraEnv": [key],
        },
    }
    pod = made("Pod", "lipserve-test-smoke", values)
    assert command(pod) == [
        *("lipserve", "smoke", "--tier", DEFAULT_TIER, "--url", "lipserve-envoy.lipserve.svc:8001"),
        *("--tls-cert", "/secrets/tls/tls.crt", "--tls-key", "/secrets/tls/tls.key"),
        *("--tls-ca", "/secrets/tls/ca.crt", "--header", "x-api-key=$(KEY)"),
    ]
    assert key in pod["spec"]["containers"][0]["env"]
    assert pod["spec"]["volumes"][0]["secret"] == {"secretName": "client", "defaultMode": 0o440}


def key_of(pod: Object) -> Object:
    """Return where the environment of a test's pod has its API key from."""
    (given,) = [x for x in pod["spec"]["containers"][0]["env"] if x["name"] == "LIPSERVE_TEST_KEY"]
    return dict(given["valueFrom"]["secretKeyRef"])


def test_keys_that_stand_in_the_values_need_no_more_words(made: Find) -> None:
    keys = {"studio": "s" * 20, "archive": "a" * 20}
    values: Object = {"envoy": {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"keys": keys}}}}
    pod = made("Pod", "lipserve-test-smoke", values)
    assert command(pod)[-2:] == ["--header", "x-api-key=$(LIPSERVE_TEST_KEY)"]
    wanted = key_of(pod)
    assert made("Secret", wanted["name"], values)["stringData"][wanted["key"]] == keys["archive"]


@pytest.mark.parametrize("name", ["lipserve-test-smoke", "lipserve-test-health"])
def test_the_guides_secret_of_keys_lets_the_tests_in(made: Find, name: str) -> None:
    guide = (ROOT / "docs/operations/front.md").read_text()
    (values,) = re.findall(r"```yaml\n# keys\.yaml\n(.*?)```", guide, re.DOTALL)
    (created,) = re.findall(r"create secret generic (\S+) \\\n .*--from-literal=(\w+)=", guide)
    pod = made("Pod", name, yaml.safe_load(values))
    assert command(pod)[-2:] == ["--header", "x-api-key=$(LIPSERVE_TEST_KEY)"]
    assert key_of(pod) == {"name": created[0], "key": created[1]}
    elsewhere = yaml.safe_load(values) | {"tests": {"apiKey": {"secretName": "own", "key": "k.1"}}}
    assert key_of(made("Pod", name, elsewhere)) == {"name": "own", "key": "k.1"}


def test_they_run_where_they_are_told(made: Find) -> None:
    where = {"node-role.example.com/cpu": ""}
    spec = made("Pod", "lipserve-test-health", {"tests": {"nodeSelector": where}})["spec"]
    assert spec["nodeSelector"] == where
    assert "nodeSelector" not in made("Pod", "lipserve-test-health")["spec"]
