"""Kubernetes' pod deletion cost, kept at the requests in the pod: idle pods are scaled down first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lipserve.errors import SetupError
from lipserve_server.pod.api_server import FAULTS, call, identify
from lipserve_server.pod.api_server import Identity as Identity

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
INTERVAL = 10.0  # seconds between two patches at least: each one is a write to the cluster's store
_logger = logging.getLogger("lipserve.server.deletion_cost")


def identity() -> Identity:
    """Return this pod's identity; SetupError if it has no token."""
    found = identify()
    if found is None:
        raise SetupError(
            "--deletion-cost needs Kubernetes and the token of a service account.",
            "Mount a token that may patch pods (automountServiceAccountToken), or leave the option out.",
        )
    return found


def patch(pod: Identity, cost: int) -> None:
    """Write the annotation; one of FAULTS if the API server refuses it."""
    change = {"metadata": {"annotations": {ANNOTATION: str(cost)}}}
    call(pod, "PATCH", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", change)


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
        written: int | None = None
        complained = ""
        while not self._stopping.is_set():
            cost = self._cost()
            if cost != written:
                try:
                    patch(self._pod, cost)
                    written, complained = cost, ""
                except FAULTS as error:
                    if str(error) != complained:
                        _logger.warning("The pod's deletion cost is not told: %s", error)
                    complained = str(error)
            self._stopping.wait(self._interval)
