"""Calls to the cluster's API server, as the pod's service account."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FAULTS = (OSError, ValueError, http.client.HTTPException)
"""The exceptions of `call` if the API server cannot be reached, or refuses."""

_TIMEOUT = 5.0


@dataclass(frozen=True)
class Identity:
    """The pod's name and the address of its API server.

    Attributes:
        account: the folder of the service account: `token`, `ca.crt`, `namespace`.
    """

    host: str
    port: int
    name: str
    account: Path = ACCOUNT

    @property
    def namespace(self) -> str:
        return (self.account / "namespace").read_text().strip()


def identify(environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Identity | None:
    """Return this pod's identity; None outside of Kubernetes, or where no token is mounted."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").is_file():
        return None
    return Identity(host, int(port), environment.get("POD_NAME") or socket.gethostname(), account)


def call(pod: Identity, method: str, path: str, patch: Any = None) -> dict[str, Any]:
    """Return the object that the API server answers with.

    Args:
        path: below /apis or /api, from its first slash on.
        patch: a JSON merge patch, of the method PATCH.

    Raises:
        OSError, HTTPException, ValueError (FAULTS): there is no answer, or it is a refusal.
    """
    connection = http.client.HTTPSConnection(
        pod.host,
        pod.port,
        timeout=_TIMEOUT,
        context=ssl.create_default_context(cafile=str(pod.account / "ca.crt")),
    )
    headers = {"Authorization": f"Bearer {(pod.account / 'token').read_text().strip()}"}  # it is renewed
    body = None
    if patch is not None:
        headers["Content-Type"], body = "application/merge-patch+json", json.dumps(patch)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{answer.status} {answer.reason}: {content[:200].decode(errors='replace')}")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no object")
    return found
