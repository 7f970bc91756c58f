"""Metrics of a pod, from its metrics pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.samples import Sample

from lipserve.metrics_page import read_samples, sums
from lipserve_ops.cluster import Cluster
from lipserve_ops.errors import ClusterError
from lipserve_ops.forward import fetch


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
        ClusterError: it cannot be asked, does not answer, or answers what are no metrics.
    """
    name = pod.metadata.name
    try:
        own = read_samples(fetch(cluster, name, named_port(pod, "health"), "/metrics"))
        refusal = _label(own, "lipserve_setup_error", "reason")
        # What refuses to serve has no stages.
        stages = [] if refusal else read_samples(fetch(cluster, name, named_port(pod, "metrics"), "/metrics"))
        return PodMetrics(
            in_flight=int(sums(stages, "lipserve_segments_in_flight")[""]),
            pending=int(sums(own, "lipserve_pending_segments")[""]),
            oldest=sums(own, "lipserve_oldest_pending_seconds")[""],
            engine=_label(own, "lipserve_engine_info", "key"),
            setup_error=refusal,
        )
    except ValueError as error:
        raise ClusterError(
            f"{name} gives no metrics: {error}.", "Check that it is a pod of LipServe's chart."
        ) from None


def _label(samples: Sequence[Sample], name: str, label: str) -> str:
    """Return a label of a metric's first non-zero sample; "" if there is none."""
    return next((s.labels.get(label, "") for s in samples if s.name == name and s.value), "")


def named_port(pod: Any, name: str) -> int:
    """Return the number of a pod's named port; ClusterError if there is none."""
    for container in pod.spec.containers:
        for port in container.ports or []:
            if port.name == name:
                return int(port.container_port)
    raise ClusterError(
        f"{pod.metadata.name} has no port named {name}.", "Check that it is a pod of LipServe's chart."
    )
