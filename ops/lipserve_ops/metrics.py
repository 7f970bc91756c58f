"""What a pod tells of itself on its metrics pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lipserve_ops.cluster import Cluster
from lipserve_ops.errors import ClusterError
from lipserve_ops.forward import fetch

_IN_FLIGHT = "lipserve_segments_in_flight"
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(?P<key>\w+)="(?P<value>(?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class PodMetrics:
    """A pod's queue and engine.

    Attributes:
        in_flight: segments that its stages work on.
        pending: segments that were accepted and that no stage has begun.
        oldest: seconds that the oldest of those has waited.
        engine: key of the engines that it serves, "" where it has none.
        setup_error: why it refuses to serve, "" where it does not.
    """

    in_flight: int
    pending: int
    oldest: float
    engine: str
    setup_error: str

    @property
    def idle(self) -> bool:
        return self.in_flight == 0 and self.pending == 0


def read(cluster: Cluster, pod: Any) -> PodMetrics:
    """Return the metrics of a server's pod, from its health port and Triton's metrics port.

    Raises:
        ClusterError: it cannot be asked, or does not answer.
    """
    name = pod.metadata.name
    own = samples(fetch(cluster, name, named_port(pod, "health"), "/metrics"))
    refusal = next((labels.get("reason", "") for labels, value in own["lipserve_setup_error"] if value), "")
    # What refuses to serve has no stages.
    stages = (
        [] if refusal else samples(fetch(cluster, name, named_port(pod, "metrics"), "/metrics"))[_IN_FLIGHT]
    )
    return PodMetrics(
        in_flight=int(sum(value for _, value in stages)),
        pending=int(sum(value for _, value in own["lipserve_pending_segments"])),
        oldest=max((value for _, value in own["lipserve_oldest_pending_seconds"]), default=0.0),
        engine=next((labels.get("key", "") for labels, _ in own["lipserve_engine_info"]), ""),
        setup_error=refusal,
    )


def named_port(pod: Any, name: str) -> int:
    """Return the number of a pod's port; ClusterError where it has none of that name."""
    for container in pod.spec.containers:
        for port in container.ports or []:
            if port.name == name:
                return int(port.container_port)
    raise ClusterError(f"{pod.metadata.name} has no port named {name}.", "Is it a pod of LipServe's chart?")


class _Samples(dict[str, list[tuple[dict[str, str], float]]]):
    def __missing__(self, name: str) -> list[tuple[dict[str, str], float]]:
        return []


def samples(page: str) -> _Samples:
    """Return the samples of a page in Prometheus' text format: by name, (labels, value) of each series."""
    found = _Samples()
    for line in page.splitlines():
        if match := _SAMPLE.match(line):
            labels = {entry["key"]: entry["value"] for entry in _LABEL.finditer(match["labels"] or "")}
            found.setdefault(match["name"], []).append((labels, float(match["value"])))
    return found
