"""The certificate that signs results, as a pod gets it, and the demand for a record of consent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]
Find = Callable[..., Object]

SIGNED: Object = {"provenance": {"enabled": True, "secretName": "signer"}}


def container(spec: Object) -> Object:
    (found,) = (item for item in spec["containers"] if item["name"] == "triton")
    assert isinstance(found, dict)
    return found


def environment(spec: Object) -> dict[str, str]:
    return {
        item["name"]: item["value"]
        for item in container(spec)["env"]
        if item["name"].startswith("LIPSERVE_") and "value" in item
    }


def test_nothing_is_signed_unless_asked(server_pod: Find) -> None:
    spec = server_pod({})
    assert environment(spec) == {}
    assert "provenance" not in [volume["name"] for volume in spec["volumes"]]


@pytest.mark.parametrize("policy", ["refuse", "warn"])
def test_a_secret_is_mounted_as_a_folder_so_that_a_new_one_arrives(server_pod: Find, policy: str) -> None:
    spec = server_pod({"provenance": {**SIGNED["provenance"], "policy": policy}})
    assert environment(spec) == {
        "LIPSERVE_CERTIFICATE": "/secrets/provenance/tls.crt",
        "LIPSERVE_PRIVATE_KEY": "/secrets/provenance/tls.key",
        "LIPSERVE_PROVENANCE": policy,
    }
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "provenance")
    assert volume["secret"] == {
        "secretName": "signer",
        "defaultMode": 0o440,
        "items": [{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}],
    }
    (mount,) = (item for item in container(spec)["volumeMounts"] if item["name"] == "provenance")
    assert mount == {"name": "provenance", "mountPath": "/secrets/provenance", "readOnly": True}


def test_consent_can_be_demanded_without_a_certificate(server_pod: Find) -> None:
    assert environment(server_pod({"provenance": {"requireConsent": True}})) == {
        "LIPSERVE_REQUIRE_CONSENT": "1"
    }
