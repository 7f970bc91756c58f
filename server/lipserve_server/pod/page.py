"""The metrics page of the health port."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lipserve.contracts import Profile
from lipserve.engine_store import EngineKey
from lipserve_server.launcher.guard.clients import Usage


@dataclass(frozen=True)
class Status:
    """The state of a pod at one moment.

    Attributes:
        oldest: age in seconds of the oldest of the `pending` segments.
        start_seconds: from the process's start to ready; None: it is not yet.
        models: that are supervised; `lost` of them are dead, for so many seconds.
        refusals: requests that were refused in front of Triton, by the code of the error.
        usage: what each client has had.
        refused: code of the error that keeps it from serving; empty: none does.
        expiries: of certificates, in Unix seconds.
        storage: what may fill up.
    """

    ready: bool
    draining: bool
    oldest: float
    pending: int
    start_seconds: float | None
    models: Sequence[str]
    lost: Mapping[str, float]
    restarts: Mapping[str, int]
    profile: Profile
    engines: Sequence[EngineKey]
    refusals: Mapping[str, int]
    usage: Mapping[str, Usage]
    refused: str
    expiries: Mapping[Path, float]
    storage: Sequence[Path]


def page(status: Status) -> str:
    """Return the page in Prometheus' text format, version 0.0.4."""
    collectors = CollectorRegistry()
    collectors.register(_Page(status))
    return generate_latest(collectors).decode()


class _Page(Collector):
    """Rendered by the library, so a metric without a series still has its HELP and TYPE."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        for part in (_load, _clients, _state, _models, _engines, _storage):
            yield from part(self._status)


def _load(status: Status) -> list[Metric]:
    refusals = CounterMetricFamily(
        "lipserve_refused_requests_total",
        "Requests that were refused in front of Triton, and why.",
        labels=["code"],
    )
    for code, count in status.refusals.items():
        refusals.add_metric([code], count)
    return [
        GaugeMetricFamily(
            "lipserve_oldest_pending_seconds",
            "Age of the oldest accepted segment that no stage has begun.",
            status.oldest,
        ),
        GaugeMetricFamily(
            "lipserve_pending_segments", "Accepted segments that no stage has begun.", status.pending
        ),
        refusals,
    ]


def _clients(status: Status) -> list[Metric]:
    requests = CounterMetricFamily(
        "lipserve_client_requests_total",
        "Requests of each client by their outcome: ok, or the code of the error.",
        labels=["client", "outcome"],
    )
    frames = CounterMetricFamily(
        "lipserve_client_frames_total", "Output frames that each client was given.", labels=["client"]
    )
    shown = CounterMetricFamily(
        "lipserve_client_video_seconds_total", "Seconds that these frames show.", labels=["client"]
    )
    busy = CounterMetricFamily(
        "lipserve_client_stage_seconds_total",
        "Seconds of the stages for each client, as reports tell them.",
        labels=["client"],
    )
    for client, usage in status.usage.items():
        for outcome, count in usage.requests.items():
            requests.add_metric([client, outcome], count)
        frames.add_metric([client], usage.frames)
        shown.add_metric([client], usage.video_seconds)
        busy.add_metric([client], usage.stage_seconds)
    return [requests, frames, shown, busy]


def _state(status: Status) -> list[Metric]:
    expiry = GaugeMetricFamily(
        "lipserve_certificate_expiry_timestamp_seconds", "When a served certificate ends.", labels=["file"]
    )
    for file, end in status.expiries.items():
        expiry.add_metric([str(file)], end)
    return [
        GaugeMetricFamily(
            "lipserve_draining", "1: what was accepted is answered, then the pod ends.", status.draining
        ),
        GaugeMetricFamily("lipserve_ready", "1: requests may be sent here.", status.ready),
        # Without a value until it is known.
        GaugeMetricFamily(
            "lipserve_start_seconds", "From the start of the process to ready.", status.start_seconds
        ),
        expiry,
    ]


def _models(status: Status) -> list[Metric]:
    restarts = CounterMetricFamily(
        "lipserve_model_restarts_total", "How often a model was brought back.", labels=["model"]
    )
    healthy = GaugeMetricFamily(
        "lipserve_model_healthy", "0: the model is dead, and being brought back.", labels=["model"]
    )
    for model in status.models:
        restarts.add_metric([model], status.restarts.get(model, 0))
        healthy.add_metric([model], model not in status.lost)
    return [restarts, healthy]


def _engines(status: Status) -> list[Metric]:
    info = GaugeMetricFamily(
        "lipserve_engine_info",
        "The TensorRT engines that are served.",
        labels=["profile", "compute_capability", "tensorrt", "key"],
    )
    for key in status.engines:
        info.add_metric([status.profile, key.compute_capability, key.version, str(key)], 1)
    refused = GaugeMetricFamily(
        "lipserve_setup_error", "1: the pod cannot serve, and why.", labels=["reason"]
    )
    if status.refused:
        refused.add_metric([status.refused], 1)
    return [info, refused]


def _storage(status: Status) -> list[Metric]:
    free = GaugeMetricFamily(
        "lipserve_storage_free_bytes", "Free space of what holds a path.", labels=["path"]
    )
    size = GaugeMetricFamily("lipserve_storage_size_bytes", "Size of what holds a path.", labels=["path"])
    for path in status.storage:
        with contextlib.suppress(OSError):
            found = os.statvfs(path)
            free.add_metric([str(path)], found.f_bavail * found.f_frsize)
            size.add_metric([str(path)], found.f_blocks * found.f_frsize)
    return [free, size]
