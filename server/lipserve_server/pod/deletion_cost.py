"""Tell Kubernetes how much work a pod's end would interrupt: of a set that shrinks, idle pods go first."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipserve.errors import SetupError

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
INTERVAL = 10.0  # seconds between two patches at least: each one is a write to the cluster's store
_TIMEOUT = 5.0
_logger = logging.getLogger("lipserve.server.deletion_cost")


@dataclass(frozen=True)
class Identity:
    """This pod, and where the API server is that knows it.

    Attributes:
        account: the folder of the service account: `token`, `ca.crt`, `namespace`.
    """

    host: str
    port: int
    name: str
    account: Path = ACCOUNT


def identify(environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Identity:
    """Return this pod by what Kubernetes gives every container; SetupError where it gave no token."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").is_file():
        raise SetupError(
            "--deletion-cost needs Kubernetes and the token of a service account.",
            "Mount one that may patch pods (automountServiceAccountToken), or leave the option out.",
        )
    return Identity(host, int(port), environment.get("POD_NAME") or socket.gethostname(), account)


def patch(pod: Identity, cost: int) -> None:
    """Write the annotation; OSError, HTTPException or ValueError where it is not taken."""
    namespace = (pod.account / "namespace").read_text().strip()
    connection = http.client.HTTPSConnection(
        pod.host,
        pod.port,
        timeout=_TIMEOUT,
        context=ssl.create_default_context(cafile=str(pod.account / "ca.crt")),
    )
    try:
        connection.request(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/pods/{pod.name}",
            json.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}}),
            {
                "Authorization": f"Bearer {(pod.account / 'token').read_text().strip()}",  # it is renewed
                "Content-Type": "application/merge-patch+json",
            },
        )
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{answer.status} {answer.reason}: {said[:200].decode(errors='replace')}")


class DeletionCost:
    """Keeps the annotation at `cost()`, in a thread of its own, until it is stopped."""

    def __init__(self, pod: Identity, cost: Callable[[], int], interval: float = INTERVAL) -> None:
        self._pod = pod
        self._cost = cost
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lipserve-deletion-cost", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        told: int | None = None
        complained = ""
        while not self._stopping.is_set():
            cost = self._cost()
            if cost != told:
                try:
                    patch(self._pod, cost)
                    told, complained = cost, ""
                except (OSError, ValueError, http.client.HTTPException) as error:
                    if str(error) != complained:
                        _logger.warning("The pod's deletion cost is not told: %s", error)
                    complained = str(error)
            self._stopping.wait(self._interval)
