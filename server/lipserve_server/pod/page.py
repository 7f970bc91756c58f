"""The metrics page of the health port."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lipserve.contracts import Profile
from lipserve.engine_store import EngineKey
from lipserve_server.pod.prometheus import Family, render


@dataclass(frozen=True)
class Status:
    """What a pod knows of itself at one moment.

    Attributes:
        oldest: age in seconds of the oldest of the `pending` segments.
        start_seconds: from the process's start to ready; None: it is not yet.
        models: that are supervised; `lost` of them are dead, for so many seconds.
        refusals: requests that were refused in front of Triton, by the code of the error.
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
    refused: str
    expiries: Mapping[Path, float]
    storage: Sequence[Path]


def page(status: Status) -> str:
    """Return the page in Prometheus' text format."""
    return render([*_load(status), *_state(status), *_models(status), *_engines(status), *_storage(status)])


def _load(status: Status) -> list[Family]:
    oldest = Family(
        "lipserve_oldest_pending_seconds",
        "gauge",
        "Age of the oldest accepted segment that no stage has begun.",
    )
    pending = Family("lipserve_pending_segments", "gauge", "Accepted segments that no stage has begun.")
    refusals = Family(
        "lipserve_refused_requests_total",
        "counter",
        "Requests that were refused in front of Triton, and why.",
    )
    for code, count in status.refusals.items():
        refusals.set(count, code=code)
    return [oldest.set(status.oldest), pending.set(status.pending), refusals]


def _state(status: Status) -> list[Family]:
    draining = Family("lipserve_draining", "gauge", "1: what was accepted is answered, then the pod ends.")
    ready = Family("lipserve_ready", "gauge", "1: requests may be sent here.")
    start = Family("lipserve_start_seconds", "gauge", "From the start of the process to ready.")
    if status.start_seconds is not None:
        start.set(status.start_seconds)
    expiry = Family(
        "lipserve_certificate_expiry_timestamp_seconds", "gauge", "When a served certificate ends."
    )
    for file, end in status.expiries.items():
        expiry.set(end, file=str(file))
    return [draining.set(status.draining), ready.set(status.ready), start, expiry]


def _models(status: Status) -> list[Family]:
    restarts = Family("lipserve_model_restarts_total", "counter", "How often a model was brought back.")
    healthy = Family("lipserve_model_healthy", "gauge", "0: the model is dead, and being brought back.")
    for model in status.models:
        restarts.set(status.restarts.get(model, 0), model=model)
        healthy.set(model not in status.lost, model=model)
    return [restarts, healthy]


def _engines(status: Status) -> list[Family]:
    info = Family("lipserve_engine_info", "gauge", "The TensorRT engines that are served.")
    for key in status.engines:
        info.set(
            1,
            profile=status.profile,
            compute_capability=key.compute_capability,
            tensorrt=key.version,
            key=str(key),
        )
    refused = Family("lipserve_setup_error", "gauge", "1: the pod cannot serve, and why.")
    if status.refused:
        refused.set(1, reason=status.refused)
    return [info, refused]


def _storage(status: Status) -> list[Family]:
    free = Family("lipserve_storage_free_bytes", "gauge", "Free space of what holds a path.")
    size = Family("lipserve_storage_size_bytes", "gauge", "Size of what holds a path.")
    for path in status.storage:
        with contextlib.suppress(OSError):
            found = os.statvfs(path)
            free.set(found.f_bavail * found.f_frsize, path=str(path))
            size.set(found.f_blocks * found.f_frsize, path=str(path))
    return [free, size]
