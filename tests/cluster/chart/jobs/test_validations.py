"""Values of jobs that contradict each other, or that the schema does not take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.scenarios import laid

TEMPLATES = Path(__file__).resolve().parents[4] / "helm/lipserve/templates/jobs"

Object = dict[str, Any]
RenderError = Callable[[Object], str]

KEY = "0" * 64
BASE: Object = {
    "jobs": {
        "enabled": True,
        "store": {"bucket": "films", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants"},
        "session": {"existingSecret": "session"},
    }
}
ENVOY: Object = {"envoy": {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"existingSecret": "k"}}}}
PEERS = [{"podSelector": {}}]
URL = "nats://nats.queue.svc:4222"

REFUSED: list[tuple[Object, str]] = [
    # callers
    ({"tenants": {"existingSecret": ""}}, "jobs.tenants: nobody may send a job; name existingSecret"),
    (
        {"tenants": {"list": [{"name": "a", "keys": [KEY]}]}},
        "jobs.tenants: existingSecret and list exclude each other",
    ),
    (
        {"tenants": {"existingSecret": "", "list": [{"name": "a", "keys": [KEY]}] * 2}},
        "jobs.tenants.list: a is there twice; give each",
    ),
    ({"oidc": {"issuer": "https://id.example.com"}}, "jobs.oidc: a token for another service would do; give"),
    ({"oidc": {"audience": "films"}}, "jobs.oidc: a token for another service would do; give"),
    ({"session": {"existingSecret": ""}}, "jobs.session.existingSecret: each gateway would sign the page's"),
    (
        {"session": {"existingSecret": ""}, "gateway": {"replicas": 1, "autoscaling": {"enabled": True}}},
        "jobs.session.existingSecret: each gateway would sign the page's",
    ),
    (
        {"ingress": {"enabled": True, "tls": {"secretName": "t"}}},
        "jobs.ingress.hosts: no host leads to the gateways; give one",
    ),
    (
        {"ingress": {"enabled": True, "hosts": ["a.example.com"]}},
        "jobs.ingress.tls.secretName: keys and films would go through the network in the clear; name",
    ),
    ({"gatewayApi": {"enabled": True}}, "jobs.gatewayApi.parentRefs: the route belongs to no Gateway; name"),
    ({"networkPolicy": {"clients": []}}, "jobs.networkPolicy.clients: nobody may call the gateways; name"),
    # store
    ({"store": {"bucket": ""}}, "jobs.store.bucket: nothing says where films and results lie; name"),
    ({"store": {"existingSecret": ""}}, "jobs.store: there are no credentials; name existingSecret"),
    ({"store": {"workloadIdentity": True}}, "jobs.store: existingSecret and workloadIdentity exclude"),
    (
        {
            "store": {"existingSecret": "", "workloadIdentity": True},
            "serviceAccount": {"create": False},
        },
        "jobs.store.workloadIdentity: the identity is a service account's, and there is none; set",
    ),
    (
        {"serviceAccount": {"create": False, "annotations": {"a": "b"}}},
        "jobs.serviceAccount.annotations: an account that the chart does not make keeps its own; set",
    ),
    (
        {"networkPolicy": {"internet": []}},
        "jobs.networkPolicy.objectStore.to: the store cannot be reached; name its peers",
    ),
    (
        {"store": {"endpoint": "http://minio.storage.svc:9000"}},
        "jobs.networkPolicy.objectStore.port: 443 is open and the store is at 9000; set it to 9000",
    ),
    # queue
    ({"nats": {"url": URL}}, "jobs.nats.url: the chart makes servers of its own; set jobs.nats.enabled to"),
    ({"nats": {"enabled": False}}, "jobs.nats.url: there is no queue; give the addresses of your NATS"),
    ({"nats": {"credentials": {"secretName": "c"}}}, "jobs.nats.credentials: it is of servers at jobs.nats"),
    ({"nats": {"ca": {"secretName": "c"}}}, "jobs.nats.ca: it is of servers at jobs.nats.url; leave it out"),
    (
        {"nats": {"enabled": False, "url": URL, "auth": {"existingSecret": "a"}}},
        "jobs.nats.auth.existingSecret: it is of the chart's own servers; leave it out",
    ),
    (
        {"nats": {"enabled": False, "url": URL}},
        "jobs.networkPolicy.nats: jobs.nats.url cannot be reached; name its peers",
    ),
    ({"nats": {"storage": {"size": "500Mi"}}}, "jobs.nats.storage.size: 500Mi is soon full of records; give"),
    # Triton
    ({"triton": {"url": "a:8001"}}, "jobs.networkPolicy.triton: jobs.triton.url cannot be reached; name"),
    # pods
    (
        {"gateway": {"podDisruptionBudget": {"maxUnavailable": 2}}},
        "jobs.gateway.podDisruptionBudget.maxUnavailable: 2 lets all 2 gateways go at once; give less",
    ),
    (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "jobs.gateway.autoscaling.minReplicas: 9 is more than maxReplicas, 6; give 6 or less",
    ),
    (
        {"gateway": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
        "jobs.gateway.autoscaling.enabled: there is nothing to take per cent of; set",
    ),
    (
        {"worker": {"resources": {"limits": {"memory": None}}}},
        "jobs.worker.resources.limits.memory: a pod without a limit takes its node's; give one",
    ),
    (
        {"worker": {"autoscaling": {"mode": "keda", "minReplicas": 20}}},
        "jobs.worker.autoscaling.minReplicas: 20 is more than maxReplicas, 10; give 10 or less",
    ),
    (
        {"worker": {"autoscaling": {"mode": "keda", "fallback": {"replicas": 11}}}},
        "jobs.worker.autoscaling.fallback.replicas: 11 is not between minReplicas and maxReplicas; give 1 to",
    ),
    (
        {"worker": {"autoscaling": {"mode": "keda"}}},
        "autoscaling.prometheus.url: KEDA has no Prometheus to ask for jobs; give its address",
    ),
]
BESIDE: list[tuple[Object, str]] = [
    (
        {"networkPolicy": {"enabled": False}},
        "jobs.nats.auth.existingSecret: without network policies any pod of the cluster could read and",
    ),
    ({"networkPolicy": {"dns": []}}, "networkPolicy.dns: jobs cannot look up names; name the peers"),
    (ENVOY, "jobs.triton.headers.secretName: Envoy would refuse the workers' calls; name a Secret with a"),
    (
        {"tls": {"enabled": True, "secretName": "f"}, "tests": {"enabled": False}},
        "jobs.triton.tls.secretName: workers have to know the authority of the certificate; name",
    ),
    (
        {
            "sharedMemory": {"clients": "open"},
            "extraContainers": [{"name": "a"}],
            "service": {"enabled": False},
            "tests": {"enabled": False},
        },
        "jobs.triton.url: sharedMemory.clients open keeps Triton to its own pod, and workers cannot",
    ),
    (
        ENVOY
        | {
            "ingress": {"enabled": True, "hosts": ["a.example.com"], "tls": {"secretName": "t"}},
            "jobs": {
                "triton": {"headers": {"secretName": "k"}},
                "ingress": {"enabled": True, "hosts": ["a.example.com"], "tls": {"secretName": "t"}},
            },
        },
        "jobs.ingress.hosts: a.example.com leads to Triton, too; give one of the two another name",
    ),
]


@pytest.mark.parametrize(("values", "line"), REFUSED, ids=[line[:60] for _, line in REFUSED])
def test_what_contradicts_itself_is_explained(render_error: RenderError, values: Object, line: str) -> None:
    assert line in render_error(laid(BASE, {"jobs": values}))


@pytest.mark.parametrize(("values", "line"), BESIDE, ids=[line[:60] for _, line in BESIDE])
def test_what_contradicts_the_rest_is_explained(render_error: RenderError, values: Object, line: str) -> None:
    assert line in render_error(laid(BASE, values))


def test_nothing_of_it_matters_while_jobs_are_off(render: Callable[[Object], list[Object]]) -> None:
    assert render({"jobs": {"nats": {"url": URL}, "gatewayApi": {"enabled": True}}}) == render({})


def test_every_line_has_a_case() -> None:
    written = re.compile(r"^(?:(?!\{\{-|\{\{/\*).)*: .+; .+$", re.MULTILINE)
    lines = written.findall((TEMPLATES / "_validations.tpl").read_text())
    cases = " ".join(line for _, line in [*REFUSED, *BESIDE])
    for line in lines:
        plain = [part.strip(" ;:.") for part in re.split(r"\{\{.*?\}\}|; ", line)]
        assert any(part[:24] in cases for part in plain if len(part) > 12), line
    assert len(lines) >= 35


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"enabeld": True}, "additional properties 'enabeld' not allowed"),
        ({"keepDays": 0}, "/jobs/keepDays"),
        ({"gateway": {"replicas": 0}}, "/jobs/gateway/replicas"),
        (
            {"gateway": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
            "additional properties 'nvidia.com/gpu'",
        ),
        ({"worker": {"places": 0}}, "/jobs/worker/places"),
        ({"worker": {"scratch": {"size": "40 GB"}}}, "/jobs/worker/scratch/size"),
        ({"worker": {"autoscaling": {"mode": "hpa"}}}, "value must be one of 'none', 'keda'"),
        ({"worker": {"podDisruptionBudget": {"maxUnavailable": "0%"}}}, "/jobs/worker/podDisruptionBudget"),
        ({"nats": {"replicas": 2}}, "value must be one of 1, 3, 5"),
        ({"nats": {"url": "nats.queue.svc"}}, "/jobs/nats/url"),
        ({"nats": {"url": "nats://user:password@nats:4222"}}, "/jobs/nats/url"),
        ({"store": {"bucket": "Films"}}, "/jobs/store/bucket"),
        ({"store": {"prefix": "/films/"}}, "/jobs/store/prefix"),
        ({"store": {"endpoint": "minio:9000"}}, "/jobs/store/endpoint"),
        ({"oidc": {"issuer": "http://id.example.com"}}, "/jobs/oidc/issuer"),
        ({"tenants": {"list": [{"name": "A", "keys": [KEY]}]}}, "/jobs/tenants/list/0/name"),
        (
            {"tenants": {"list": [{"name": "a", "keys": ["a-key-in-the-clear"]}]}},
            "/jobs/tenants/list/0/keys/0",
        ),
        ({"tenants": {"list": [{"name": "a", "keys": []}]}}, "/jobs/tenants/list/0/keys"),
        ({"networkPolicy": {"internetPorts": [0]}}, "/jobs/networkPolicy/internetPorts/0"),
        ({"networkPolicy": {"nats": [{}]}}, "/jobs/networkPolicy/nats/0"),
    ],
    ids=str,
)
def test_the_schema_names_the_key_it_refuses(render_error: RenderError, values: Object, where: str) -> None:
    assert where in render_error(laid(BASE, {"jobs": values}))
