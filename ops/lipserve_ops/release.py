"""A release of the chart: its Deployment and its pods, found by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from lipserve_ops.cluster import Cluster
from lipserve_ops.errors import AbsentError

Component = Literal["server", "envoy", "engines"]

_CHART = "helm.sh/chart"
_INSTANCE, _COMPONENT = "app.kubernetes.io/instance", "app.kubernetes.io/component"


@dataclass(frozen=True)
class Release:
    """One release in the cluster's namespace.

    Attributes:
        deployment: of the server's pods.
    """

    cluster: Cluster
    name: str
    deployment: Any

    def selector(self, component: Component) -> str:
        """Return the label selector of a component's objects."""
        return f"{_INSTANCE}={self.name},{_COMPONENT}={component}"

    def pods(self, component: Component = "server") -> list[Any]:
        """Return the pods of a component, by name."""
        cluster = self.cluster
        found = cluster.ask(
            "the pods",
            cluster.core.list_namespaced_pod,
            cluster.namespace,
            label_selector=self.selector(component),
        ).items
        return sorted(found, key=lambda pod: str(pod.metadata.name))

    def pod(self, name: str) -> Any:
        """Return the server's pod `name`; AbsentError where it is gone, or is no pod of this release."""
        cluster = self.cluster
        pod = cluster.ask(f"the pod {name}", cluster.core.read_namespaced_pod, name, cluster.namespace)
        labels = pod.metadata.labels or {}
        if (labels.get(_INSTANCE), labels.get(_COMPONENT)) != (self.name, "server"):
            raise AbsentError(
                f"{name} is no server's pod of the release {self.name}.",
                "`lipserve ops status` lists those that are.",
            )
        return pod


def find(cluster: Cluster, name: str | None) -> Release:
    """Return the release `name`, or the only one in the namespace.

    Raises:
        AbsentError: there is no such release, or several and none is named.
    """
    found = cluster.ask(
        "the deployments",
        cluster.apps.list_namespaced_deployment,
        cluster.namespace,
        label_selector=f"{_COMPONENT}=server,{_CHART}",
    ).items
    releases = {
        deployment.metadata.labels[_INSTANCE]: deployment
        for deployment in found
        if deployment.metadata.labels[_CHART].startswith("lipserve-")
    }
    if name is None and len(releases) == 1:
        (name,) = releases
    if name is not None and name in releases:
        return Release(cluster, name, releases[name])
    there = f"It has {', '.join(sorted(releases))}." if releases else "It has none."
    if name is None and releases:
        raise AbsentError(
            f"The namespace {cluster.namespace} has several releases.", f"Give --release. {there}"
        )
    raise AbsentError(
        f"The namespace {cluster.namespace} has no release{f' {name}' if name else ''} of LipServe. {there}",
        "Give --namespace and --release as `helm list --all-namespaces` shows them.",
    )


def is_ready(pod: Any) -> bool:
    """Return whether a pod takes requests: it is ready and not terminating."""
    conditions = {condition.type: condition.status for condition in pod.status.conditions or []}
    return conditions.get("Ready") == "True" and pod.metadata.deletion_timestamp is None


def state(pod: Any) -> str:
    """Return a pod's state, in the words of `kubectl get pods`: Running, Pending, CrashLoopBackOff ..."""
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    for prefix, statuses in (
        ("Init:", pod.status.init_container_statuses or []),
        ("", pod.status.container_statuses or []),
    ):
        for status in statuses:
            waiting = status.state.waiting if status.state else None
            if waiting and waiting.reason not in ("PodInitializing", "ContainerCreating"):
                return f"{prefix}{waiting.reason}"
            if prefix and status.state and status.state.running:
                return f"{prefix}{status.name}"
    return "Unschedulable" if _unschedulable(pod) else str(pod.status.phase)


def trouble(pod: Any, events: list[Any]) -> str:
    """Return a pod's last error, "" if there is none.

    What a container waits for comes first, then why one ended last, then what keeps the pod from a node, then
    the newest of `events`, which are warnings about it.
    """
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    ends = [_end(status) for status in statuses]
    waits = [status.state.waiting.message for status in statuses if status.state and status.state.waiting]
    # A back-off says only that it is one; why the container ended says more.
    reasons = [wait for wait in waits if wait and not wait.startswith("back-off")]
    newest = max(events, key=_when, default=None)
    warning = f"{newest.reason}: {newest.message}" if newest is not None else ""
    every = [*ends, *reasons, _unschedulable(pod), warning]
    return " ".join(next((text for text in every if text), "").split())


def _end(status: Any) -> str:
    """Return how a container ended last, if it failed."""
    for moment in (status.state, status.last_state):
        ended = moment.terminated if moment else None
        if ended and ended.exit_code:
            message = (ended.message or "").strip()
            reason = f"({ended.reason}): {message}" if message else f"({ended.reason})"
            return f"{status.name} ended with {ended.exit_code} {reason}"
    return ""


def _unschedulable(pod: Any) -> str:
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.message or condition.reason or "")
    return ""


def _when(event: Any) -> datetime:
    return event.last_timestamp or event.event_time or datetime.min.replace(tzinfo=UTC)
