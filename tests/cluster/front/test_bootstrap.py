"""Every form of the bootstrap is one that Envoy takes, and values that contradict each other are refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.proxy import Names, Proxy, binary, mount, only

Render = Callable[..., list[dict[str, Any]]]

JWT = {"issuer": "https://login.example.com/", "audiences": ["lipserve"]}
REMOTE = {**JWT, "jwks": {"uri": "https://login.example.com:8443/keys"}}
KEY = {  # the example of RFC 7517
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
INLINE = {**JWT, "jwks": {"inline": json.dumps({"keys": [KEY]})}}
INTERNAL = {"enabled": True, "serverSecretName": "server", "clientSecretName": "client"}
MUTUAL = {"enabled": True, "secretName": "front", "clients": {"required": True, "caSecretName": "clients"}}

FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "no retries": {"envoy": {"retries": {"attempts": 0}}},
    "retries of what was lost": {"envoy": {"retries": {"afterReset": True}}},
    "api keys": {"envoy": {"auth": {"mode": "apiKey", "apiKey": {"keys": {"studio": "a" * 20}}}}},
    "closed health": {
        "envoy": {"auth": {"mode": "apiKey", "openHealth": False, "apiKey": {"keys": {"studio": "a" * 20}}}}
    },
    "inline keys of tokens": {"envoy": {"auth": {"mode": "jwt", "jwt": INLINE}}},
    "fetched keys of tokens": {"envoy": {"auth": {"mode": "jwt", "jwt": REMOTE}}},
    "tls": {"tls": {"enabled": True, "secretName": "front"}},
    "mutual tls at both ends": {"tls": {**MUTUAL, "internal": INTERNAL}},
    "cert-manager": {
        "tls": {
            "enabled": True,
            "source": "certManager",
            "internal": {"enabled": True},
            "certManager": {"issuerRef": {"name": "ca"}},
        }
    },
    "all": {
        "listenAddress": "::",
        "envoy": {
            "accessLog": False,
            "rateLimit": {"enabled": True},
            "auth": {"mode": "jwt", "openHealth": False, "jwt": REMOTE},
        },
        "tls": {**MUTUAL, "internal": INTERNAL},
    },
}


def _values(form: dict[str, Any]) -> dict[str, Any]:
    return {"tests": {"enabled": False}, **form, "envoy": {"enabled": True} | form.get("envoy", {})}


@pytest.mark.parametrize("form", FORMS)
def test_envoy_takes_it(render: Render, tmp_path: Path, form: str) -> None:
    objects = render(_values(FORMS[form]))
    names = Names()
    try:
        proxy = Proxy(objects, tmp_path, {"grpc": 8001, "health": 8080}, names)
    finally:
        names.close()
    mount(tmp_path / "secrets/api-keys", {"api-keys.yaml": ""})
    text = json.dumps(proxy.bootstrap).replace(
        "/etc/ssl/certs/ca-certificates.crt", str(_authority(tmp_path))
    )
    (tmp_path / "envoy.yaml").write_text(text)
    done = subprocess.run(
        [binary(), "--mode", "validate", "-c", tmp_path / "envoy.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "deprecated" not in done.stderr.lower()


def _authority(folder: Path) -> Path:
    trustme = pytest.importorskip("trustme")
    path = folder / "authorities.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


def test_times_follow_from_the_longest_segment(render: Render) -> None:
    objects = render(_values({"lifecycle": {"longestSegmentSeconds": 400}}))
    server = only(objects, "Deployment", "lipserve")["spec"]["template"]["spec"]
    assert "--exit-timeout=810" in server["containers"][0]["args"]
    assert server["terminationGracePeriodSeconds"] == 15 + 810 + 20
    envoy = only(objects, "Deployment", "lipserve-envoy")["spec"]["template"]["spec"]
    assert envoy["terminationGracePeriodSeconds"] == 15 + 810 + 20
    text = only(objects, "ConfigMap", "lipserve-envoy")["data"]["envoy.yaml"]
    assert text.count("max_stream_duration: 810s") == 2
    shorter = only(render(_values({})), "ConfigMap", "lipserve-envoy")["data"]["envoy.yaml"]
    assert shorter.count("max_stream_duration: 600s") == 2


def test_secrets_are_mounted_where_the_bootstrap_reads_them(render: Render) -> None:
    auth = {"auth": {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}}}
    objects = render(_values({"envoy": auth, "tls": {**MUTUAL, "internal": INTERNAL}}))
    pod = only(objects, "Deployment", "lipserve-envoy")["spec"]["template"]["spec"]
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
    }
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    data = only(objects, "ConfigMap", "lipserve-envoy")["data"]
    read = {
        word.strip("{},").rpartition("/")[0]
        for text in data.values()
        for word in text.split()
        if word.startswith("/secrets/") and word.strip("{},").count("/") == 3
    }
    assert {path: secrets[mounts[path]] for path in read} == {
        "/secrets/api-keys": "keys",
        "/secrets/front": "front",
        "/secrets/front-clients": "clients",
        "/secrets/internal": "client",
    }
    server = only(objects, "Deployment", "lipserve")["spec"]["template"]["spec"]
    assert "--tls-client-ca=/secrets/tls-clients/ca.crt" in server["containers"][0]["args"]
    assert {"server"} == {
        volume["secret"]["secretName"] for volume in server["volumes"] if volume["name"].startswith("tls")
    }


def test_certificates_stand_for_the_names_that_are_called(render: Render) -> None:
    objects = render(_values(FORMS["cert-manager"]))
    certificates = {
        made["metadata"]["name"]: made["spec"] for made in objects if made["kind"] == "Certificate"
    }
    assert "lipserve-envoy.lipserve.svc" in certificates["lipserve-tls-front"]["dnsNames"]
    assert certificates["lipserve-tls-server"]["dnsNames"] == ["lipserve-headless.lipserve.svc"]
    assert certificates["lipserve-tls-server"]["usages"][-1] == "server auth"
    assert certificates["lipserve-tls-client"]["usages"][-1] == "client auth"
    assert certificates["lipserve-tls-authority"]["isCA"] is True


def test_the_route_names_what_envoy_passes(render: Render) -> None:
    anybody = {"auth": {"anonymous": True}}
    objects = render({"envoy": anybody, "gatewayApi": {"enabled": True, "parentRefs": [{"name": "public"}]}})
    rules = only(objects, "GRPCRoute", "lipserve")["spec"]["rules"]
    methods = {match["method"]["method"] for rule in rules for match in rule["matches"]}
    assert {"ModelInfer", "ServerReady", "Check"} <= methods
    assert not any("Repository" in name or "SharedMemory" in name or "Setting" in name for name in methods)
    assert all(rule["backendRefs"] == [{"name": "lipserve", "port": 8001}] for rule in rules)


def test_the_ingress_speaks_grpc_to_envoy(render: Render) -> None:
    ingress = {"enabled": True, "hosts": ["lips.example.com"], "tls": {"secretName": "lips"}}
    keys = {"auth": {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}}}
    made = only(render(_values({"ingress": ingress, "envoy": keys})), "Ingress", "lipserve")
    annotations = made["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPC"
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "600"
    (path,) = made["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "lipserve-envoy", "port": {"number": 8001}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"lifecycle": {"exitTimeoutSeconds": 60}}, "lifecycle.exitTimeoutSeconds: 60 s"),
    ({"lifecycle": {"terminationGracePeriodSeconds": 60}}, "lifecycle.terminationGracePeriodSeconds: 60 s"),
    ({"envoy": {"replicas": 1}}, "envoy.replicas: a single proxy"),
    ({"envoy": {"podDisruptionBudget": {"maxUnavailable": 2}}}, "envoy.podDisruptionBudget.maxUnavailable"),
    ({"envoy": {"requestTimeoutSeconds": 30}}, "envoy.requestTimeoutSeconds: 30 s"),
    ({"envoy": {"limits": {"requestMiB": 2047}}}, "envoy.limits.requestMiB"),
    (
        {"envoy": {"enabled": False, "auth": {"mode": "jwt", "jwt": INLINE}}},
        "envoy.auth.mode: keys and tokens",
    ),
    ({"envoy": {"auth": {"mode": "apiKey"}}}, "envoy.auth.apiKey: no key is known"),
    (
        {"envoy": {"auth": {"mode": "apiKey", "apiKey": {"existingSecret": "a", "keys": {"a": "a" * 20}}}}},
        "exclude each other",
    ),
    ({"envoy": {"auth": {"mode": "jwt", "jwt": {"jwks": {"inline": "{}"}}}}}, "give issuer and audiences"),
    ({"envoy": {"auth": {"mode": "jwt", "jwt": JWT}}}, "envoy.auth.jwt.jwks: no key"),
    ({"tls": {"enabled": True}}, "tls.secretName: there is no certificate"),
    ({"tls": {"enabled": True, "source": "certManager"}}, "tls.certManager.issuerRef.name"),
    ({"tls": {"clients": {"required": True, "caSecretName": "a"}}}, "set tls.enabled to true"),
    ({"tls": {"internal": {"enabled": True}}}, "tls.internal: both ends"),
    ({"envoy": {"enabled": False}, "tls": {"internal": INTERNAL}}, "set envoy.enabled to true"),
    ({"ingress": {"enabled": True, "tls": {"secretName": "a"}}}, "ingress.hosts"),
    ({"ingress": {"enabled": True, "hosts": ["a.example.com"]}}, "ingress.tls.secretName"),
    ({"gatewayApi": {"enabled": True}}, "gatewayApi.parentRefs"),
    (
        {"tls": MUTUAL, "ingress": {"enabled": True, "hosts": ["a.example.com"], "tls": {"secretName": "a"}}},
        "tls.clients.required",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(render_error: Callable[[Any], str], values: dict[str, Any], message: str) -> None:
    assert message in render_error(_values(values))
