"""What a gateway counts, and its page for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipserve_jobs.gateway.observation import Observed

_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
OTHERS = "(others)"
_MOST_TENANTS = 100


class Names:
    """The first hundred names that are met; all later ones count as `(others)`."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        if name not in self._known and len(self._known) >= _MOST_TENANTS:
            return OTHERS
        self._known.add(name)
        return name


class ByTenant:
    """A counter by tenant, whose names are bounded."""

    def __init__(self, counter: Counter, names: Names) -> None:
        self._counter, self._names = counter, names

    def labels(self, tenant: str) -> Counter:
        return self._counter.labels(self._names.of(tenant))


class Meters:
    """The counters of one app."""

    def __init__(self) -> None:
        self._page = CollectorRegistry()
        self.names = Names()
        own = ("", "", "", self._page)  # no prefix, no unit, and this app's page
        self.requests = Counter("lipserve_jobs_requests", "Requests answered", ["route", "status"], *own)
        seconds = "Time until the head of an answer"
        self.request_seconds = Histogram(
            "lipserve_jobs_request_seconds", seconds, ["route"], *own, buckets=_BUCKETS
        )
        self.uploads_open = Gauge("lipserve_jobs_uploads_open", "Files that come in", (), *own)
        self.event_streams = Gauge("lipserve_jobs_event_streams", "Open streams of events", (), *own)
        taken = Counter("lipserve_jobs_upload_bytes", "Bytes of files taken in", ["tenant"], *own)
        self.upload_bytes = ByTenant(taken, self.names)

    def page(self, observed: Observed | None) -> bytes:
        """Return the page: what was counted here, and what was observed of the queue and the records."""
        page = CollectorRegistry()
        page.register(_Families(list(self._families(observed))))
        return generate_latest(self._page) + generate_latest(page)

    def _families(self, observed: Observed | None) -> Iterable[Metric]:
        yield _gauge(
            "lipserve_jobs_ready", "Whether this gateway is ready", observed is not None and observed.ready
        )
        yield _gauge("lipserve_jobs_draining", "Whether it ends", observed is not None and observed.draining)
        if observed is None:
            return
        for name, text, value in observed.plain():
            yield _gauge(name, text, value)
        dead = CounterMetricFamily("lipserve_jobs_dead_letters", "Dead letters that ever were")
        dead.add_metric([], observed.dead_ever)
        yield dead
        yield from self._by_tenant(observed)

    def _by_tenant(self, observed: Observed) -> Iterable[Metric]:
        for name, text, labels, counted, values in observed.by_tenant():
            kind = CounterMetricFamily if counted else GaugeMetricFamily
            family = kind(name, text, labels=["tenant", *labels])
            merged: dict[tuple[str, ...], float] = {}
            for (tenant, *more), value in values.items():
                key = (self.names.of(tenant) if tenant else "", *more)
                joined = max if name.endswith("oldest_queued_seconds") else float.__add__
                merged[key] = joined(merged[key], float(value)) if key in merged else float(value)
            for key, value in merged.items():
                family.add_metric(list(key), value)
            yield family


class _Families:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, float(value))


class Counting:
    """Counts requests by their route's template, and times them, around an app."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, int(message["status"]), time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self._meters.requests.labels(route, str(status)).inc()
        if not scope.get("state", {}).get("waits"):
            self._meters.request_seconds.labels(route).observe(seconds)
