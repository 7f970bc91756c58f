"""Gateways and workers of jobs: what they are told, where they run, how they end."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve_jobs.records.tenant import Quota, Tenant, Tenants
from tests.cluster.invariants import pods
from tests.cluster.scenarios import laid

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]
Render = Callable[..., list[Object]]

CI = Path(__file__).resolve().parents[4] / "helm/lipserve/ci"
KEY = "6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090"
JOBS: Object = {
    "jobs": {
        "enabled": True,
        "store": {"bucket": "films", "region": "eu-central-1", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants", "key": "who.yaml"},
        "session": {"existingSecret": "session"},
    }
}


def container(made: Find, kind: str, values: Object | None = None, **options: Any) -> Object:
    pod = made("Deployment", f"lipserve-jobs-{kind}", values or JOBS, **options)["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    found: Object = only
    return found


def told(container: Object) -> dict[str, str]:
    """Return the variables of a container that have a value."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def secret(container: Object, name: str) -> Object:
    """Return the entry of a Secret that a variable has its value from."""
    (found,) = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == name]
    entry: Object = found
    return entry


def test_nothing_of_jobs_is_there_unless_it_is_asked_for(render: Render) -> None:
    assert [one["metadata"]["name"] for one in render({}) if "jobs" in one["metadata"]["name"]] == []


@pytest.mark.parametrize("kind", ["gateway", "worker"])
def test_both_know_the_queue_the_store_and_the_tenants(made: Find, kind: str) -> None:
    one = container(made, kind)
    assert one["command"] == ["lipserve", "jobs", kind]
    variables = told(one)
    server = "nats://lipserve-jobs-nats-{0}.lipserve-jobs-nats.lipserve.svc:4222"
    assert variables["LIPSERVE_JOBS_NATS"] == ",".join(server.format(number) for number in range(3))
    assert variables["LIPSERVE_JOBS_NATS_REPLICAS"] == "3"
    assert variables["LIPSERVE_JOBS_STORE"] == "s3://films"
    assert variables["AWS_REGION"] == "eu-central-1"
    assert "LIPSERVE_JOBS_STORE_ENDPOINT" not in variables
    assert secret(one, "AWS_SECRET_ACCESS_KEY") == {"name": "films", "key": "AWS_SECRET_ACCESS_KEY"}
    assert variables["LIPSERVE_JOBS_TENANTS"] == "/secrets/tenants/who.yaml"
    assert variables["LIPSERVE_JOBS_KEEP_DAYS"] == "7"
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in one["volumeMounts"]}
    assert mounts["/secrets/tenants"] is True
    assert not [mount for mount in one["volumeMounts"] if "subPath" in mount]  # those are never updated


def test_files_in_a_folder_of_another_service_are_found(made: Find) -> None:
    values = yaml.safe_load((CI / "jobs-values.yaml").read_text())
    for kind in ("gateway", "worker"):
        one = container(made, kind, values)
        variables = told(one)
        assert variables["LIPSERVE_JOBS_STORE"] == "s3://films/lipserve"
        assert variables["LIPSERVE_JOBS_STORE_ENDPOINT"] == "https://minio.storage.svc:9000"
        assert variables["LIPSERVE_JOBS_WEBHOOK_SECRET_FILE"] == "/secrets/webhooks/webhook-secret"
        assert variables["LIPSERVE_JOBS_NATS"].startswith(
            "nats://lipserve:$(NATS_PASSWORD)@lipserve-jobs-nats-0."
        )
        assert secret(one, "NATS_PASSWORD") == {"name": "lipserve-nats", "key": "password"}
        # What is put into another variable has to come before it.
        names = [variable["name"] for variable in one["env"]]
        assert names.index("NATS_PASSWORD") < names.index("LIPSERVE_JOBS_NATS")


def test_a_service_account_and_a_queue_of_another_team_are_used(made: Find, names: Names) -> None:
    values = yaml.safe_load((CI / "jobs-identity-values.yaml").read_text())
    account = made("ServiceAccount", "lipserve-jobs", values)
    assert account["automountServiceAccountToken"] is False
    assert list(account["metadata"]["annotations"]) == ["eks.amazonaws.com/role-arn"]
    assert names("StatefulSet", values) == []
    for kind in ("gateway", "worker"):
        pod = made("Deployment", f"lipserve-jobs-{kind}", values)["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "lipserve-jobs"
        variables = told(pod["containers"][0])
        assert (
            variables["LIPSERVE_JOBS_NATS"] == "tls://nats-0.example.com:4222,tls://nats-1.example.com:4222"
        )
        assert variables["LIPSERVE_JOBS_NATS_CREDENTIALS"] == "/secrets/nats/nats.creds"
        assert variables["LIPSERVE_JOBS_NATS_CA"] == "/secrets/nats-ca/ca.crt"
        assert "AWS_ACCESS_KEY_ID" not in str(pod)
        assert "LIPSERVE_JOBS_TENANTS" not in variables
    assert told(container(made, "gateway", values))["LIPSERVE_JOBS_OIDC_AUDIENCE"] == "lipserve"
    assert "LIPSERVE_JOBS_OIDC_ISSUER" not in told(container(made, "worker", values))


def test_tenants_of_the_values_are_a_file_that_the_service_reads(made: Find, tmp_path: Path) -> None:
    listed = [
        {"name": "studio", "keys": [KEY], "weight": 2, "quota": {"upload_bytes": 8 << 30, "jobs": None}}
    ]
    values = laid(JOBS, {"jobs": {"tenants": {"existingSecret": "", "list": listed}}})
    text = made("Secret", "lipserve-jobs-tenants", values)["stringData"]["tenants.yaml"]
    (tmp_path / "tenants.yaml").write_text(text)
    (tenant,) = Tenants.read(tmp_path / "tenants.yaml").tenants
    assert (tenant.name, tenant.keys, tenant.weight) == ("studio", (KEY,), 2.0)
    assert (tenant.quota.upload_bytes, tenant.quota.jobs) == (8 << 30, None)
    assert told(container(made, "worker", values))["LIPSERVE_JOBS_TENANTS"] == "/secrets/tenants/tenants.yaml"


def test_the_schema_takes_what_a_tenant_may_have_and_no_secret() -> None:
    schema = json.loads((CI.parent / "values.schema.json").read_text())["definitions"]["tenant"]["properties"]
    assert schema.keys() == Tenant.model_fields.keys() - {"webhook_secret"}
    assert schema["quota"]["properties"].keys() == Quota.model_fields.keys()


def test_the_tenants_that_the_guide_shows_are_taken() -> None:
    guide = (CI.parents[2] / "docs/operations/jobs.md").read_text()
    (shown,) = re.findall(r"```yaml\n    # tenants\.yaml\n(.*?)    ```", guide, re.DOTALL)
    (tenant,) = Tenants.of(yaml.safe_load(textwrap.dedent(shown))).tenants
    assert (tenant.name, tenant.quota.segments) == ("studio", 24)


def test_no_pod_of_jobs_goes_to_a_node_with_a_gpu(made: Find, render: Render) -> None:
    """No resource, no toleration, and nodes that GPU feature discovery has marked are left out."""
    gpu = {"profile": "tensorrt", "accelerator": {"kind": "gpu", "product": ["NVIDIA-L4"]}}
    apart = {"key": "nvidia.com/gpu.present", "operator": "NotIn", "values": ["true"]}
    seen = 0
    for owner, _, spec in pods(render(laid(JOBS, gpu))):
        if "-jobs-" not in owner:
            continue
        seen += 1
        assert "tolerations" not in spec, owner
        assert "nvidia.com" not in str(spec["containers"][0]["resources"]), owner
        node = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert node == {"nodeSelectorTerms": [{"matchExpressions": [apart]}]}, owner
    assert seen == 3
    alone = laid(JOBS, {"jobs": {"gpuNodes": True}})
    assert "affinity" not in made("Deployment", "lipserve-jobs-worker", alone)["spec"]["template"]["spec"]


def test_an_operators_affinity_is_kept_beside(made: Find) -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    term = {"matchExpressions": [zone]}
    given = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    }
    values = laid(JOBS, {"jobs": {"worker": {"affinity": given | {"podAffinity": {}}}}})
    affinity = made("Deployment", "lipserve-jobs-worker", values)["spec"]["template"]["spec"]["affinity"]
    (only,) = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [one["key"] for one in only["matchExpressions"]] == ["zone", "nvidia.com/gpu.present"]
    assert affinity["podAffinity"] == {}


def test_a_gateway_ends_after_its_uploads_and_a_worker_after_its_steps(made: Find) -> None:
    values = laid(JOBS, {"jobs": {"gateway": {"drainSeconds": 90}, "worker": {"drainSeconds": 300}}})
    gateway = made("Deployment", "lipserve-jobs-gateway", values)["spec"]["template"]["spec"]
    assert gateway["terminationGracePeriodSeconds"] == 15 + 90 + 10
    assert gateway["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
    assert told(gateway["containers"][0])["LIPSERVE_JOBS_DRAIN_SECONDS"] == "90"
    worker = made("Deployment", "lipserve-jobs-worker", values)["spec"]["template"]["spec"]
    assert worker["terminationGracePeriodSeconds"] == 300 + 15
    assert told(worker["containers"][0])["LIPSERVE_JOBS_DRAIN_SECONDS"] == "300"
    before = container(made, "gateway", values, kube_version="1.29.0")["lifecycle"]
    assert before == {"preStop": {"exec": {"command": ["sleep", "15"]}}}


def test_probes_ask_what_a_restart_could_mend(made: Find) -> None:
    gateway, worker = container(made, "gateway"), container(made, "worker")
    assert gateway["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert worker["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert "readinessProbe" not in worker  # nothing calls it
    ports = {port["name"]: str(port["containerPort"]) for port in gateway["ports"]}
    variables = told(gateway)
    assert ports == {
        "http": variables["LIPSERVE_JOBS_PORT"],
        "metrics": variables["LIPSERVE_JOBS_METRICS_PORT"],
    }
    assert told(worker)["LIPSERVE_JOBS_METRICS_PORT"] == str(worker["ports"][0]["containerPort"])


def test_what_is_large_has_a_folder_with_a_limit(made: Find) -> None:
    values = laid(JOBS, {"jobs": {"worker": {"scratch": {"size": "90Gi"}}}})
    pod = made("Deployment", "lipserve-jobs-worker", values)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume.get("emptyDir") for volume in pod["volumes"]}
    assert volumes["scratch"] == {"sizeLimit": "90Gi"}
    assert told(pod["containers"][0])["LIPSERVE_JOBS_SCRATCH"] == "/scratch"
    assert {"name": "scratch", "mountPath": "/scratch"} in pod["containers"][0]["volumeMounts"]


ENVOY: Object = {"envoy": {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"existingSecret": "k"}}}}
TLS: Object = {"tls": {"enabled": True, "secretName": "front"}, "tests": {"tls": {"secretName": "test"}}}
HEADERS: Object = {"jobs": {"triton": {"headers": {"secretName": "worker-key"}}}}
FILES: Object = {"jobs": {"triton": {"tls": {"secretName": "authority"}}}}


@pytest.mark.parametrize(
    ("values", "url", "arguments"),
    [
        ([], "lipserve-headless.lipserve.svc:8001", []),
        ([ENVOY, HEADERS], "lipserve-envoy.lipserve.svc:8001", []),
        ([TLS, FILES], "lipserve-headless.lipserve.svc:8001", ["--tls-ca=/secrets/tls/ca.crt"]),
        (
            [TLS, FILES, {"tls": {"clients": {"required": True, "caSecretName": "c"}}}],
            "lipserve-headless.lipserve.svc:8001",
            [
                "--tls-ca=/secrets/tls/ca.crt",
                "--tls-cert=/secrets/tls/tls.crt",
                "--tls-key=/secrets/tls/tls.key",
            ],
        ),
        (
            [
                {
                    "jobs": {
                        "triton": {"url": "a:8001,b:8001"},
                        "networkPolicy": {"triton": [{"podSelector": {}}]},
                    }
                }
            ],
            "a:8001,b:8001",
            [],
        ),
    ],
    ids=["pods", "envoy", "tls", "mutual", "elsewhere"],
)
def test_workers_call_triton_as_its_clients_do(
    made: Find, values: list[Object], url: str, arguments: list[str]
) -> None:
    given = JOBS
    for part in values:
        given = laid(given, part)
    one = container(made, "worker", given)
    assert told(one)["LIPSERVE_URL"] == url
    assert one.get("args", []) == arguments
    headers = [variable for variable in one["env"] if variable["name"] == "LIPSERVE_HEADERS"]
    assert len(headers) == ("envoy" in given)
    volumes = made("Deployment", "lipserve-jobs-worker", given)["spec"]["template"]["spec"]["volumes"]
    shown = [
        item["path"] for volume in volumes if volume["name"] == "tls" for item in volume["secret"]["items"]
    ]
    assert shown == [argument.rpartition("/")[2] for argument in arguments]
