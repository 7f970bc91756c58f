"""What a stage tells Prometheus, and what it may ask while it works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from lipserve.errors import LipServeError, codes

SECONDS_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0]
LEAF_BUCKETS = [0.001, 0.0025, 0.005, *SECONDS_BUCKETS]


class Observer(Protocol):
    """Whom a stage tells how its work goes."""

    def frames(self, count: int, seconds: float) -> None:
        """Count output frames, which show for `seconds`."""

    def faceless(self, count: int) -> None:
        """Count output frames without a face to drive."""

    def covered(self, count: int) -> None:
        """Count output frames in which something lies before a mouth that would be driven."""

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError where nobody waits for the answer any more: cheap, to be polled."""


class SilentObserver:
    """Tells nobody: for a stage that runs outside Triton."""

    def frames(self, count: int, seconds: float) -> None:
        pass

    def faceless(self, count: int) -> None:
        pass

    def covered(self, count: int) -> None:
        pass

    def raise_if_cancelled(self) -> None:
        pass


class StageMetrics:
    """The metrics of one stage. All its processes write to the same series: Triton holds the values.

    `families` is Triton's `MetricFamily`, which exists inside its Python backend only.
    """

    def __init__(self, stage: str, instance: str, families: Any) -> None:
        self._stage = stage
        self._frames = _counter(families, "lipserve_frames_total", "Output frames of finished segments.")
        self._video_seconds = _counter(
            families, "lipserve_video_seconds_total", "Seconds that the output frames show."
        )
        self._faceless = _counter(
            families, "lipserve_faceless_frames_total", "Output frames without a face to drive."
        )
        self._covered = _counter(
            families, "lipserve_covered_frames_total", "Output frames with something before a mouth."
        )
        # A family lives as long as its object: it is kept beside its series.
        self._seconds_family = families(
            name="lipserve_stage_seconds",
            description="Seconds a stage worked on one segment.",
            kind=families.HISTOGRAM,
        )
        self._seconds = self._seconds_family.Metric(labels={"stage": stage}, buckets=SECONDS_BUCKETS)
        self._started_family = families(
            name="lipserve_segments_started_total",
            description="Segments that a stage has begun, however they end.",
            kind=families.COUNTER,
        )
        self._started = self._started_family.Metric(labels={"stage": stage})
        self._begun_family = families(
            name="lipserve_segment_begun_timestamp_seconds",
            description="When a stage began the segment that it works on; 0: it works on none.",
            kind=families.GAUGE,
        )
        self._begun = self._begun_family.Metric(labels={"stage": stage, "instance": instance})
        self._begun.set(0)
        self._in_flight_family = families(
            name="lipserve_segments_in_flight",
            description="Segments that a stage is working on.",
            kind=families.GAUGE,
        )
        self._in_flight = self._in_flight_family.Metric(labels={"stage": stage, "instance": instance})
        self._in_flight.set(0)  # what a killed process of this instance left behind ends here
        self._leaf_seconds_family = families(
            name="lipserve_leaf_seconds",
            description="Seconds a stage waited for one call of a leaf model.",
            kind=families.HISTOGRAM,
        )
        self._leaf_rows_family = families(
            name="lipserve_leaf_rows_total",
            description="Rows of the batches that a stage gave a leaf model.",
            kind=families.COUNTER,
        )
        self._leaves: dict[str, tuple[Any, Any]] = {}
        self._requests_family = families(
            name="lipserve_requests_total",
            description="Requests by their outcome: ok, or the code of the error.",
            kind=families.COUNTER,
        )
        self._requests: dict[str, Any] = {}
        # From the start: a series that begins at 1 has not increased, says Prometheus.
        for outcome in ("ok", *codes()):
            self._count(outcome, 0)

    def frames(self, count: int, seconds: float) -> None:
        self._frames[1].increment(count)
        self._video_seconds[1].increment(seconds)

    def faceless(self, count: int) -> None:
        self._faceless[1].increment(count)

    def covered(self, count: int) -> None:
        self._covered[1].increment(count)

    @contextmanager
    def segment(self) -> Iterator[None]:
        """Measure one segment, however it ends."""
        self._started.increment(1)
        self._in_flight.increment(1)
        self._begun.set(time.time())
        started = time.perf_counter()
        outcome = "internal"
        try:
            yield
            outcome = "ok"
        except LipServeError as error:
            outcome = error.code
            raise
        finally:
            self._seconds.observe(time.perf_counter() - started)
            self._in_flight.increment(-1)
            self._begun.set(0)
            self._count(outcome, 1)

    def leaf(self, model: str, rows: int, seconds: float) -> None:
        """Count one call of a leaf model: a batch of `rows`, answered after `seconds`."""
        if model not in self._leaves:
            labels = {"stage": self._stage, "leaf": model}
            self._leaves[model] = (
                self._leaf_seconds_family.Metric(labels=labels, buckets=LEAF_BUCKETS),
                self._leaf_rows_family.Metric(labels=labels),
            )
        waited, counted = self._leaves[model]
        waited.observe(seconds)
        counted.increment(rows)

    def _count(self, outcome: str, count: int) -> None:
        if outcome not in self._requests:
            labels = {"stage": self._stage, "outcome": outcome}
            self._requests[outcome] = self._requests_family.Metric(labels=labels)
        self._requests[outcome].increment(count)


class LeafMetrics:
    """The metrics of a leaf model whose process is ours: Triton's own count the supervisor's canaries too."""

    def __init__(self, model: str, families: Any) -> None:
        self._family = families(
            name="lipserve_run_seconds",
            description="Seconds of one run of a leaf model.",
            kind=families.HISTOGRAM,
        )
        self._seconds = self._family.Metric(labels={"leaf": model}, buckets=LEAF_BUCKETS)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Measure one run."""
        started = time.perf_counter()
        yield
        self._seconds.observe(time.perf_counter() - started)


def _counter(families: Any, name: str, description: str) -> tuple[Any, Any]:
    family = families(name=name, description=description, kind=families.COUNTER)
    return family, family.Metric(labels={})
