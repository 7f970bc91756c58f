"""Samples of Triton's state, taken once a second and kept for the health port."""

from __future__ import annotations

import http.client
import logging
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client.samples import Sample

from lipserve.contracts import Model
from lipserve.metrics_page import read_samples, sums
from lipserve_server.pod.pending import OldestPending

INTERVAL = 1.0  # seconds
_TIMEOUT = 5.0
_logger = logging.getLogger("lipserve.server.monitor")


@dataclass(frozen=True)
class Load:
    """One look at Triton's metrics and at the queue in front of it.

    Attributes:
        at: when, on the monotonic clock.
        pending: accepted segments that no stage has begun.
        oldest: age of the oldest of them in seconds.
        in_flight: segments that stages work on.
        longest: for how many seconds each process (stage and instance) has been at its segment.
    """

    at: float
    pending: int = 0
    oldest: float = 0.0
    in_flight: int = 0
    longest: dict[str, float] = field(default_factory=dict)


class Monitor:
    """Reads a metrics page once a second, in a thread of its own, until it is stopped.

    Args:
        canaries: returns the models in which a canary waits: it is no segment.
        queued: returns how many segments have not been let through to Triton, and how old the oldest is.
        on_load: called after every look.
    """

    def __init__(
        self,
        url: str,
        models: Sequence[Model],
        canaries: Callable[[], set[str]],
        queued: Callable[[], tuple[int, float]] = lambda: (0, 0.0),
        on_load: Callable[[Load], None] = lambda load: None,
    ) -> None:
        self._url = url
        self._canaries = canaries
        self._queued = queued
        self._on_load = on_load
        # Never through a proxy of the environment: the page is this machine's.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._queues = {stage: OldestPending() for stage in first_stages(models)}
        self.load = Load(time.monotonic())
        self._begun: dict[tuple[str, float], float] = {}  # when each segment at work was first seen
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lipserve-monitor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def look(self) -> Load:
        """Read the page once; OSError, HTTPException or ValueError if it cannot be read."""
        busy = self._canaries()
        with self._open(self._url, timeout=_TIMEOUT) as page:
            samples = read_samples(page.read().decode())
        now = time.monotonic()
        begun = sums(samples, "lipserve_segments_started_total", "stage")
        waiting = _waiting(samples, busy)
        ages = {
            stage: queue.sample(now, int(begun[stage]), waiting[stage])
            for stage, queue in self._queues.items()
        }
        count, oldest = self._queued()
        self.load = Load(
            now,
            pending=count + sum(waiting[stage] for stage in self._queues),
            oldest=max(oldest, *ages.values()),
            in_flight=int(sums(samples, "lipserve_segments_in_flight")[""]),
            longest=self._longest(samples, now),
        )
        return self.load

    def _longest(self, samples: list[Sample], now: float) -> dict[str, float]:
        """Measured from the first sample of a segment, not by its own clock: the wall clock may jump."""
        name = "lipserve_segment_begun_timestamp_seconds"
        begun = {(s.labels.get("instance", ""), s.value) for s in samples if s.name == name and s.value}
        self._begun = {segment: self._begun.get(segment, now) for segment in begun}
        return {instance: now - since for (instance, _), since in self._begun.items()}

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            try:
                self._on_load(self.look())
            except (OSError, http.client.HTTPException, ValueError) as error:
                _logger.warning("Triton's metrics cannot be read: %s", error)


def queues(models: Sequence[Model]) -> list[str]:
    """Return the models whose callers wait for segments: ensembles, and the stages outside of them."""
    composed = {step.model for model in models for step in model.steps}
    return [m.name for m in models if m.kind == "ensemble" or (m.kind == "stage" and m.name not in composed)]


def first_stages(models: Sequence[Model]) -> list[str]:
    """Return the stages that requests wait before: the first of every ensemble, and those outside of them."""
    chains = [[step.model for step in model.steps] for model in models if model.kind == "ensemble"]
    composed = {stage for chain in chains for stage in chain}
    apart = [model.name for model in models if model.kind == "stage" and model.name not in composed]
    return [*(chain[0] for chain in chains), *apart]


def _waiting(samples: list[Sample], canaries: set[str]) -> dict[str, int]:
    """Return how many users' requests wait for each model; 0 for one that the page does not name."""
    counted = sums(samples, "nv_inference_pending_request_count", "model")
    return defaultdict(int, {m: max(0, int(n) - (m in canaries)) for m, n in counted.items()})
