"""`lipserve ops drain POD`: delete one pod after it has answered every accepted request."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from lipserve_ops import metrics, release
from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import AbsentError, ClusterError, RefusedError
from lipserve_ops.release import Release

_EXAMPLES = """\
examples:
  lipserve ops drain lipserve-5d8f9c7b6-x2x7k
  kubectl cordon gpu-7 && lipserve ops drain lipserve-5d8f9c7b6-x2x7k

As soon as the pod is deleted, the Deployment starts another one. Ctrl-C before
that puts the pod back into service.
"""
_POLL_SECONDS = 1.0
_SETTLE_SECONDS = 10.0  # balancers learn of it within them, and requests already on their way arrive
_PATIENCE = 30.0  # seconds that a pod's metrics may be away
_ENDING_SECONDS = 60.0  # beyond its grace period, for the kubelet
_FOR_PROMETHEUS = ("lipserve-service", "metrics")  # label of a Service that no request takes

Tell = Callable[[str], None]


def drain(found: Release, name: str, *, force: bool, timeout: float, settle: float, tell: Tell) -> None:
    """Take a pod out of the endpoints, wait until it is idle, delete it, and wait until it is gone.

    Where it does not come so far, the pod is put back into service.

    Args:
        force: also the last ready pod, and a pod that cannot be taken out first.
        timeout: seconds for it to become idle.
        settle: seconds that it has to stay so.
        tell: called with what is going on, again and again.

    Raises:
        AbsentError: there is no such pod. RefusedError: `force` would be needed.
        ClusterError: it did not become idle or did not end in time.
    """
    pod = found.pod(name)
    if pod.metadata.deletion_timestamp is not None:
        raise RefusedError(f"{name} is being deleted already.", "`lipserve ops status --watch` shows it go.")
    others = [other for other in found.pods() if other.metadata.name != name and release.is_ready(other)]
    if not others and not force:
        raise RefusedError(
            f"{name} is the last ready pod of {found.name}: the service would be down.",
            "Scale the Deployment up first, or give --force.",
        )
    labels = _labels(found, pod, force)
    with _out_of_service(found, pod, labels, tell):
        _wait_until_idle(found, pod, timeout, settle, tell)
        _delete(found, pod)
    _wait_until_gone(found, pod, tell)


def _labels(found: Release, pod: Any, force: bool) -> dict[str, str]:
    """Return the labels of a pod that its Services select by and its ReplicaSet does not.

    Without them it gets no new request, and still counts: no other pod is started as long as it works.
    """
    cluster = found.cluster
    services = cluster.ask("the services", cluster.core.list_namespaced_service, cluster.namespace).items
    kept, own = found.deployment.spec.selector.match_labels, pod.metadata.labels
    taken: dict[str, str] = {}
    for service in services:
        selector = service.spec.selector or {}
        if not selector or any(own.get(key) != value for key, value in selector.items()):
            continue
        if _FOR_PROMETHEUS in (service.metadata.labels or {}).items():
            continue
        free = {key: value for key, value in selector.items() if key not in kept}
        if not free and not force:
            raise RefusedError(
                f"The Service {service.metadata.name} selects by the labels of the Deployment alone: "
                f"{pod.metadata.name} cannot be taken out of it and kept.",
                "Upgrade the chart, or give --force: the pod is deleted, and its preStop pause and its own "
                "draining answer what it has accepted.",
            )
        taken |= free
    return taken


@contextmanager
def _out_of_service(found: Release, pod: Any, labels: dict[str, str], tell: Tell) -> Iterator[None]:
    """Remove the labels for the block, and restore them if it fails."""
    if not labels:
        yield
        return
    tell("taking it out of the endpoints")
    _patch(found, pod, dict.fromkeys(labels))
    try:
        yield
    except BaseException:
        with suppress(AbsentError):  # it has gone: there is nothing to put back
            _patch(found, pod, labels)
        raise


def _patch(found: Release, pod: Any, labels: dict[str, Any]) -> None:
    cluster, name = found.cluster, pod.metadata.name
    body = {"metadata": {"labels": labels, "uid": pod.metadata.uid}}
    cluster.ask(f"the pod {name}", cluster.core.patch_namespaced_pod, name, cluster.namespace, body)


def _wait_until_idle(found: Release, pod: Any, timeout: float, settle: float, tell: Tell) -> None:
    name = pod.metadata.name
    began = answered = time.monotonic()
    idle_since: float | None = None
    while True:
        try:
            numbers = metrics.read(found.cluster, pod)
            answered = time.monotonic()
        except ClusterError as error:
            found.pod(name)  # AbsentError where it is gone
            idle_since = None
            if time.monotonic() - answered > _PATIENCE:
                raise ClusterError(
                    f"{name} has not answered for {_PATIENCE:g} s: {error.message}",
                    "Look at its log, or delete it with kubectl: the pod drains on SIGTERM.",
                ) from error
            tell(f"no answer: {error.message}")
        else:
            if not numbers.idle:
                idle_since = None
            elif idle_since is None:
                idle_since = answered
            tell(_progress(numbers, idle_since, answered, settle))
            if idle_since is not None and answered - idle_since >= settle:
                return
            if answered - began > timeout:
                raise ClusterError(
                    f"{name} still has {numbers.in_flight} segments at work and {numbers.pending} waiting "
                    f"after {timeout:g} s.",
                    "Give a longer --timeout. Clients that have a connection to this pod go on sending to it "
                    "until it ends; if you delete it with kubectl, it still answers all accepted requests.",
                )
        time.sleep(_POLL_SECONDS)


def _progress(numbers: metrics.PodMetrics, idle_since: float | None, now: float, settle: float) -> str:
    if idle_since is not None:
        return f"idle for {now - idle_since:.0f} of {settle:g} s"
    oldest = f", the oldest for {numbers.oldest:.0f} s" if numbers.pending else ""
    return f"{numbers.in_flight} segments at work, {numbers.pending} waiting{oldest}"


def _delete(found: Release, pod: Any) -> None:
    cluster, name = found.cluster, pod.metadata.name
    from kubernetes import client

    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=pod.metadata.uid))
    cluster.ask(f"the pod {name}", cluster.core.delete_namespaced_pod, name, cluster.namespace, body=options)


def _wait_until_gone(found: Release, pod: Any, tell: Tell) -> None:
    name, grace = pod.metadata.name, pod.spec.termination_grace_period_seconds
    began = time.monotonic()
    cluster = found.cluster
    while (passed := time.monotonic() - began) <= grace + _ENDING_SECONDS:
        try:
            now = cluster.ask(f"the pod {name}", cluster.core.read_namespaced_pod, name, cluster.namespace)
        except AbsentError:
            return
        if now.metadata.uid != pod.metadata.uid:
            return
        tell(f"deleted, ending for {passed:.0f} of at most {grace} s")
        time.sleep(_POLL_SECONDS)
    raise ClusterError(
        f"{name} was deleted, but has not ended within its grace period of {grace} s.",
        f"Check whether its node is alive: `kubectl describe pod {name}`.",
    )


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "drain",
        help="remove one pod without losing a request",
        description="Take POD out of the service's endpoints, wait until it has answered every accepted "
        "request, then delete it with its grace period.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("pod", metavar="POD", help="name of the pod")
    parser.add_argument(
        "--force",
        action="store_true",
        help="drain the pod even if it is the last ready one, or cannot be taken out of the endpoints first",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=900.0,
        metavar="SECONDS",
        help="longest wait until the pod is idle (default %(default)g)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=_SETTLE_SECONDS,
        metavar="SECONDS",
        help="time that the pod must stay idle before it is deleted (default %(default)g)",
    )
    add_cluster(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    console = Console(stderr=True, highlight=False)
    with open_release(arguments) as found, console.status("", spinner="dots") as shown:
        shown_text = ""

        def tell(text: str) -> None:
            nonlocal shown_text
            if console.is_terminal:
                shown.update(f"{arguments.pod}: {text}")
            elif text != shown_text:
                print(f"{arguments.pod}: {text}", file=sys.stderr, flush=True)
            shown_text = text

        drain(
            found,
            arguments.pod,
            force=arguments.force,
            timeout=arguments.timeout,
            settle=arguments.settle,
            tell=tell,
        )
    print(f"{arguments.pod} is drained and gone.")
    return 0
