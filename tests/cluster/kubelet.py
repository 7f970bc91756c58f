"""A stand-in for scheduler, node and volumes beside a real control plane: it runs nothing, and marks pods."""

from __future__ import annotations

import threading
import urllib.error
from typing import Any

from tests.cluster.control_plane import Api
from tests.cluster.invariants import mounted

Pod = dict[str, Any]
MERGE = "application/merge-patch+json"


class Kubelet:
    """Binds each pod, marks it ready (or done, of a Job or a test), and takes it away when it is deleted.

    A pod that mounts or reads a ConfigMap, a Secret or a claim that is not there stays pending, as on a node.
    `broken` is a piece of an image's name: pods with it never become ready.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._address = 0
        self.broken = ""
        self.errors: list[str] = []

    def __enter__(self) -> Kubelet:
        spec = {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": "/nowhere"},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": spec}
        self._api("POST", "/api/v1/persistentvolumes", volume)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for pod in self._api("GET", "/api/v1/pods")["items"]:
                try:
                    self._tend(pod)
                except urllib.error.HTTPError as error:
                    if error.code not in (404, 409):  # gone, or changed meanwhile
                        self.errors.append(f"{pod['metadata']['name']}: {error.code} {error.read().decode()}")

    def _tend(self, pod: Pod) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            self._api("DELETE", path, {"gracePeriodSeconds": 0})
        elif "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": "node"}
            self._api(
                "POST", f"{path}/binding", {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
            )
        elif (
            pod["status"]["phase"] == "Pending" and self._has_what_it_mounts(pod) and not self._is_broken(pod)
        ):
            self._address += 1
            self._api("PATCH", f"{path}/status", {"status": self._status(pod)}, MERGE)

    def _is_broken(self, pod: Pod) -> bool:
        return bool(self.broken) and any(self.broken in made["image"] for made in pod["spec"]["containers"])

    def _has_what_it_mounts(self, pod: Pod) -> bool:
        namespace = pod["metadata"]["namespace"]
        return all(self._exists(namespace, f"{kind.lower()}s", name) for kind, name in mounted(pod["spec"]))

    def _exists(self, namespace: str, kind: str, name: str) -> bool:
        try:
            self._api("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _status(self, pod: Pod) -> dict[str, Any]:
        ends = pod["spec"]["restartPolicy"] != "Always"
        now = pod["metadata"]["creationTimestamp"]
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
        containers = [
            {
                "name": made["name"],
                "image": made["image"],
                "imageID": "",
                "ready": not ends,
                "restartCount": 0,
                "state": ended if ends else {"running": {"startedAt": now}},
            }
            for made in pod["spec"]["containers"]
        ]
        conditions = [
            {"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")
        ]
        return {
            "phase": "Succeeded" if ends else "Running",
            "podIP": f"10.0.0.{self._address % 250 + 1}",
            "startTime": now,
            "conditions": [] if ends else conditions,
            "containerStatuses": containers,
        }
