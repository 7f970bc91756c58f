"""What the chart tells gateways and workers is what their programs read; a gateway so told serves."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipserve_cli.main import parser
from tests.cluster.scenarios import laid
from tests.support.gateways import write_tenants
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.waiting import until

Object = dict[str, Any]
Find = Callable[..., Object]

HOST = "127.0.0.1"
LIPSERVE = Path(sys.executable).parent / "lipserve"
# Every value that becomes a variable.
EVERYTHING: Object = {
    "listenAddress": "::",
    "networkPolicy": {"dns": [{"podSelector": {}}]},
    "jobs": {
        "enabled": True,
        "privateAddresses": True,
        "keepDays": 30,
        "gateway": {"drainSeconds": 90, "trustedProxies": ["10.0.0.0/8"]},
        "worker": {"places": 7, "drainSeconds": 300, "arguments": ["--concurrency=2"]},
        "triton": {"url": "a:8001,b:8001", "tls": {"secretName": "authority"}},
        "nats": {
            "enabled": False,
            "replicas": 5,
            "url": "tls://nats.example.com:4222",
            "credentials": {"secretName": "user"},
            "ca": {"secretName": "authority"},
        },
        "store": {
            "bucket": "films",
            "prefix": "a/b",
            "endpoint": "https://s3.example.com",
            "existingSecret": "s",
        },
        "tenants": {"existingSecret": "tenants"},
        "oidc": {
            "issuer": "https://id.example.com/",
            "audience": "films",
            "tenantClaim": "team",
            "jwks": "https://id.example.com/keys",
        },
        "session": {"existingSecret": "session"},
        "webhooks": {"existingSecret": "webhooks"},
        "networkPolicy": {"nats": [{"podSelector": {}}], "triton": [{"podSelector": {}}]},
    },
}
SHARED = {
    "nats": "tls://nats.example.com:4222",
    "nats_credentials": "/secrets/nats/nats.creds",
    "nats_ca": "/secrets/nats-ca/ca.crt",
    "nats_replicas": 5,
    "store": "s3://films/a/b",
    "store_endpoint": "https://s3.example.com",
    "tenants": "/secrets/tenants/tenants.yaml",
    "webhook_secret_file": "/secrets/webhooks/webhook-secret",
    "keep_days": 30,
    "allow_private_addresses": True,
}
READ: dict[str, dict[str, Any]] = {
    "gateway": SHARED
    | {
        "host": "::",
        "port": 8080,
        "metrics_port": 9100,
        "drain_seconds": 90,
        "oidc_issuer": "https://id.example.com/",
        "oidc_audience": "films",
        "oidc_jwks": "https://id.example.com/keys",
        "oidc_tenant_claim": "team",
        "session_secret_file": "/secrets/session/session-secret",
    },
    "worker": SHARED
    | {
        "places": 7,
        "scratch": Path("/scratch"),
        "metrics_port": 9100,
        "drain_seconds": 300,
        "tls_ca": "/secrets/tls/ca.crt",
        "concurrency": 2,
    },
}
# What the options do not hold: the client's and the libraries' own.
ELSEWHERE = {"HOME", "AWS_REGION", "FORWARDED_ALLOW_IPS", "LIPSERVE_URL"}


def container(made: Find, kind: str, values: Object) -> Object:
    (one,) = made("Deployment", f"lipserve-jobs-{kind}", values)["spec"]["template"]["spec"]["containers"]
    found: Object = one
    return found


def variables(container: Object) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def read(container: Object, patch: pytest.MonkeyPatch) -> Namespace:
    """Return what the container's program makes of its command line and its environment."""
    for name, value in variables(container).items():
        patch.setenv(name, value)
    words = [*container["command"], *container.get("args", [])]
    assert words[0] == "lipserve"
    return parser(words[1:]).parse_args(words[1:])


@pytest.mark.parametrize("kind", READ)
def test_every_variable_is_read(made: Find, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = container(made, kind, EVERYTHING)
    options = read(one, monkeypatch)
    assert {name: getattr(options, name) for name in READ[kind]} == READ[kind]
    ours = {name for name in variables(one) if name not in ELSEWHERE}
    told = {f"LIPSERVE_JOBS_{name.upper()}" for name in READ[kind]}
    assert ours <= told, "a variable that no option is read from"
    for name in ours:
        monkeypatch.delenv(name)
    assert read({"command": one["command"], "env": []}, monkeypatch) != options


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_gateway_that_is_told_so_serves_with_its_metrics_at_a_port_of_their_own(
    made: Find, tmp_path: Path
) -> None:
    """The real command with the pod's environment; addresses and files are this machine's."""
    values = laid(EVERYTHING, {"jobs": {"oidc": {"issuer": "", "audience": "", "jwks": ""}}})
    one = container(made, "gateway", values)
    (tmp_path / "session").write_text("s" * 32)
    (tmp_path / "webhooks").write_text("whsec_" + "b3Vycw" * 8)
    with NatsServer(tmp_path / "nats") as nats:
        ports = {"PORT": free_port(HOST), "METRICS_PORT": free_port(HOST)}
        here = {
            **{name: str(port) for name, port in ports.items()},
            "HOST": "::" if socket.has_dualstack_ipv6() else HOST,
            "NATS": nats.url,
            "NATS_REPLICAS": "1",
            "NATS_CREDENTIALS": "",
            "NATS_CA": "",
            "STORE": str(tmp_path / "store"),
            "STORE_ENDPOINT": "",
            "TENANTS": str(write_tenants(tmp_path / "tenants.yaml", studio={})),
            "SESSION_SECRET_FILE": str(tmp_path / "session"),
            "WEBHOOK_SECRET_FILE": str(tmp_path / "webhooks"),
        }
        environment = variables(one) | {f"LIPSERVE_JOBS_{name}": value for name, value in here.items()}
        program = Program([LIPSERVE, *one["command"][1:]], **environment)
        try:
            api, metrics = (f"http://{HOST}:{ports[name]}" for name in ("PORT", "METRICS_PORT"))
            ready = one["readinessProbe"]["httpGet"]["path"]
            until(lambda: fetched(f"{api}{ready}")[0] == 200, lambda: f"it is ready: {program.said}")
            assert fetched(f"{api}{one['livenessProbe']['httpGet']['path']}")[0] == 200
            status, page = fetched(f"{metrics}/metrics")
            assert (status, "lipserve_jobs_ready 1.0" in page) == (200, True)
            status, problem = fetched(f"{api}/metrics")
            assert (status, json.loads(problem)["status"]) == (404, 404)
            assert fetched(f"{api}/v1/jobs")[0] == 401
            program.process.terminate()
            assert program.ends() == 0, program.said
        finally:
            program.close()
