"""`lipserve ops status`: the state of every pod of a release."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lipserve_ops import metrics, release
from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import ClusterError
from lipserve_ops.metrics import PodMetrics
from lipserve_ops.release import Release

_EXAMPLES = """\
examples:
  lipserve ops status
  lipserve ops status -n video --release lipserve --watch
  lipserve ops status --json

exit code: 0 every wanted pod is ready, 1 a pod is not ready, 5 the cluster does
not answer
"""
_WIDTH = 160  # characters, where the output is no terminal
_AT_ONCE = 8  # pods that are asked at once
_GPU = "nvidia.com/gpu.product"


@dataclass(frozen=True)
class PodStatus:
    """One pod.

    Attributes:
        state: as `kubectl get pods` has it.
        gpu: product of its node's GPU, "" where the node tells none or may not be read.
        engine, in_flight, pending, oldest: see `PodMetrics`; None where it could not be asked.
        error: the last thing that went wrong, "" where nothing did.
    """

    name: str
    state: str
    ready: bool
    node: str
    gpu: str
    engine: str | None
    restarts: int
    in_flight: int | None
    pending: int | None
    oldest: float | None
    error: str


@dataclass(frozen=True)
class ReleaseStatus:
    """A release: its pods, and `notes` on what this user has no permission to see."""

    release: str
    namespace: str
    wanted: int
    ready: int
    pods: tuple[PodStatus, ...]
    notes: tuple[str, ...]


def look(found: Release) -> ReleaseStatus:
    """Return the state of a release now.

    Raises:
        ClusterError: its pods cannot be listed.
    """
    pods, notes = found.pods(), list[str]()
    events, products = _events(found, notes), _products(found, pods, notes)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda pod: _ask(found, pod), pods))
    rows = tuple(
        _row(pod, answer, events.get(pod.metadata.name, []), products.get(pod.spec.node_name or "", ""))
        for pod, answer in zip(pods, answers, strict=True)
    )
    wanted = found.deployment.spec.replicas
    return ReleaseStatus(
        release=found.name,
        namespace=found.cluster.namespace,
        wanted=1 if wanted is None else wanted,
        ready=sum(row.ready for row in rows),
        pods=rows,
        notes=tuple(notes),
    )


def _ask(found: Release, pod: Any) -> PodMetrics | str:
    """Return a pod's metrics, or the reason why they are missing."""
    if pod.status.phase != "Running":
        return ""
    try:
        return metrics.read(found.cluster, pod)
    except ClusterError as error:
        return error.message


def _row(pod: Any, answer: PodMetrics | str, events: list[Any], gpu: str) -> PodStatus:
    ready = release.is_ready(pod)
    numbers = answer if isinstance(answer, PodMetrics) else None
    errors = [
        numbers.setup_error if numbers else "",
        release.trouble(pod, [] if ready else events),
        answer if isinstance(answer, str) else "",
    ]
    return PodStatus(
        name=pod.metadata.name,
        state=release.state(pod),
        ready=ready,
        node=pod.spec.node_name or "",
        gpu=gpu,
        engine=numbers.engine if numbers else None,
        restarts=sum(status.restart_count for status in pod.status.container_statuses or []),
        in_flight=numbers.in_flight if numbers else None,
        pending=numbers.pending if numbers else None,
        oldest=round(numbers.oldest, 1) if numbers else None,
        error=next((error for error in errors if error), ""),
    )


def _events(found: Release, notes: list[str]) -> dict[str, list[Any]]:
    """Return the warnings about pods, by the pod's name."""
    cluster = found.cluster
    try:
        events = cluster.ask(
            "the events",
            cluster.core.list_namespaced_event,
            cluster.namespace,
            field_selector="type=Warning,involvedObject.kind=Pod",
        ).items
    except ClusterError as error:
        notes.append(f"Events are not shown: {error}")
        return {}
    by_pod: dict[str, list[Any]] = {}
    for event in events:
        by_pod.setdefault(event.involved_object.name, []).append(event)
    return by_pod


def _products(found: Release, pods: list[Any], notes: list[str]) -> dict[str, str]:
    """Return the GPU model of each node that runs a pod."""
    cluster, products = found.cluster, dict[str, str]()
    for name in sorted({pod.spec.node_name for pod in pods if pod.spec.node_name}):
        try:
            node = cluster.ask(f"the node {name}", cluster.core.read_node, name)
        except ClusterError as error:
            notes.append(f"GPUs are not shown: {error}")
            break
        products[name] = (node.metadata.labels or {}).get(_GPU, "")
    return products


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "status",
        help="show every pod, its engine, its queue and its last error",
        description="Show the pods of a release in one table: readiness, node, engines, requests in\n"
        "the queue, last error.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--watch", action="store_true", help="refresh the table until Ctrl-C")
    parser.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="refresh interval of --watch (default %(default)g)",
    )
    add_cluster(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_release(arguments) as chosen:
        if arguments.watch:
            return _watch(chosen, arguments.interval)
        found = look(chosen)
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        _console().print(table(found))
    return 0 if found.ready >= found.wanted and all(pod.ready for pod in found.pods) else 1


def _watch(chosen: Release, interval: float) -> int:
    with Live(console=_console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(table(look(release.find(chosen.cluster, chosen.name))), refresh=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return 0


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def table(found: ReleaseStatus) -> Group:
    """Return the table of a release's pods, with a line above and the notes below."""
    made = Table(box=None, pad_edge=False)
    for title in ("pod", "state", "node", "gpu", "engine"):
        made.add_column(title, overflow="fold")
    for title in ("restarts", "in flight", "pending", "oldest"):
        made.add_column(title, justify="right")
    made.add_column("last error", overflow="fold", min_width=20)
    for pod in found.pods:
        state = Text(pod.state if pod.ready else f"{pod.state}, not ready", "green" if pod.ready else "red")
        numbers = ("-" if value is None else str(value) for value in (pod.in_flight, pod.pending))
        oldest = "-" if pod.oldest is None else f"{pod.oldest:.1f} s"
        texts = (Text(text or "-") for text in (pod.node, pod.gpu, pod.engine or ""))
        made.add_row(Text(pod.name), state, *texts, str(pod.restarts), *numbers, oldest, Text(pod.error))
    head = f"{found.release} in {found.namespace}: {found.ready} of {found.wanted} ready"
    return Group(Text(head, "bold"), made, *(Text(note, "yellow") for note in found.notes))
