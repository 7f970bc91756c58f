"""What is seen of the queue, the records and the store: asked for once in five seconds at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import get_args

from lipserve.errors import LipServeError
from lipserve_jobs.gateway.kept import Kept
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records.job import State
from lipserve_jobs.records.roster import Roster
from lipserve_jobs.records.view import cost
from lipserve_jobs.store import Store

FRESH_SECONDS = 5.0
_ASK_SECONDS = 4.0
_HEALTH_KEY = "health/gateway"
_AT_WORK = frozenset({"preparing", "making", "joining"})

STATES = get_args(State)
Values = dict[tuple[str, ...], float]


@dataclass
class Observed:
    """What was seen.

    Attributes:
        ready: the records are here, NATS and the store answer, and this gateway does not end.
    """

    ready: bool = False
    draining: bool = False
    connected: bool = False
    storage_bytes: float = 0.0
    storage_limit: float | None = None
    hooks: int = 0
    dead: int = 0
    dead_ever: int = 0
    oldest_joining: float = 0.0
    oldest_unfinished: float = 0.0
    overdue: int = 0
    states: Values = field(default_factory=dict)
    oldest_queued: Values = field(default_factory=dict)
    steps: Values = field(default_factory=dict)
    seconds: Values = field(default_factory=dict)
    work_seconds: Values = field(default_factory=dict)
    costs: Values = field(default_factory=dict)

    def plain(self) -> Iterable[tuple[str, str, float]]:
        """Yield the gauges without labels: name, text, value."""
        yield "lipserve_jobs_nats_connected", "Whether NATS is connected", float(self.connected)
        yield "lipserve_jobs_nats_storage_bytes", "Bytes that JetStream keeps", self.storage_bytes
        if self.storage_limit is not None:
            yield "lipserve_jobs_nats_storage_limit_bytes", "Bytes that it may keep", self.storage_limit
        yield "lipserve_jobs_webhooks_pending", "Webhooks that are to be told", float(self.hooks)
        yield "lipserve_jobs_dead_letters", "Dead letters that are kept", float(self.dead)
        yield "lipserve_jobs_overdue", "Jobs that have expired and are still there", float(self.overdue)
        old = "Seconds since a change of the job that is untouched for longest, of those"
        yield "lipserve_jobs_joining_oldest_seconds", f"{old} that are joined", self.oldest_joining
        yield "lipserve_jobs_unfinished_oldest_seconds", f"{old} that are worked on", self.oldest_unfinished

    def by_tenant(self) -> Iterable[tuple[str, str, list[str], bool, Values]]:
        """Yield those by tenant: name, text, more labels, whether it is a counter, values."""
        yield "lipserve_jobs", "Jobs that are kept", ["state"], False, self.states
        queued = "Seconds since the oldest queued job was touched"
        yield "lipserve_jobs_oldest_queued_seconds", queued, [], False, self.oldest_queued
        yield "lipserve_jobs_queue_steps", "Steps in the queue", ["state"], False, self.steps
        yield "lipserve_jobs_tenant_seconds", "Seconds of results, this month", [], True, self.seconds
        yield "lipserve_jobs_tenant_work_seconds", "Seconds of work, this month", [], True, self.work_seconds
        yield "lipserve_jobs_tenant_cost", "Cost of work, this month", [], True, self.costs


class Observation:
    """Observes; those who ask within five seconds are told the same."""

    def __init__(
        self, broker: Broker, store: Store, mirror: Mirror, work: Work, ledger: Ledger, roster: Roster
    ) -> None:
        self._broker, self._store, self._mirror = broker, store, mirror
        self._work, self._ledger, self._roster = work, ledger, roster
        self._seen = Observed()
        self._when = -FRESH_SECONDS
        self._lock = asyncio.Lock()

    async def now(self, draining: bool) -> Observed:
        """Return what is seen now."""
        async with self._lock:
            if time.monotonic() - self._when > (FRESH_SECONDS if self._seen.ready else 0.5):
                self._seen = await self._look()
                self._when = time.monotonic()
        self._seen.draining = draining
        self._seen.ready = self._seen.ready and not draining
        return self._seen

    async def _look(self) -> Observed:
        seen = Observed(connected=self._broker.nc.is_connected)
        self._look_at_jobs(seen)
        with suppress(LipServeError, TimeoutError):
            async with asyncio.timeout(_ASK_SECONDS):
                await self._look_at_queue(seen)
                await self._store.size(_HEALTH_KEY)
                seen.ready = seen.connected and self._mirror.filled
        return seen

    def _look_at_jobs(self, seen: Observed) -> None:
        now = time.time()
        known = {*self._mirror.tenants(), *(tenant.name for tenant in self._roster.now.tenants)}
        for tenant in known:
            counts = self._mirror.states(tenant)
            seen.states.update({(tenant, state): counts[state] for state in STATES})
            seen.oldest_queued[tenant,] = 0.0
            for job in self._mirror.of(tenant):
                self._look_at(seen, job, now)

    def _look_at(self, seen: Observed, job: Kept, now: float) -> None:
        age = max(0.0, now - job.touched)
        if job.state == "queued":
            seen.oldest_queued[job.tenant,] = max(seen.oldest_queued[job.tenant,], age)
        elif job.state in _AT_WORK:
            seen.oldest_unfinished = max(seen.oldest_unfinished, age)
            if job.state == "joining":
                seen.oldest_joining = max(seen.oldest_joining, age)
        elif job.expires is not None and job.expires < now:
            seen.overdue += 1

    async def _look_at_queue(self, seen: Observed) -> None:
        js, lasting = self._broker.js, self._broker.lasting
        account = await lasting(js.account_info)
        seen.storage_bytes = float(account.storage)
        if account.limits.max_storage > 0:
            seen.storage_limit = float(account.limits.max_storage)
        seen.hooks = (await lasting(lambda: js.stream_info(names.HOOKS))).state.messages
        dead = (await lasting(lambda: js.stream_info(names.DEAD))).state
        seen.dead, seen.dead_ever = dead.messages, dead.last_seq
        backlog = await self._work.backlog()
        seen.steps = {("", "waiting"): 0.0, ("", "running"): 0.0}
        for tenant in {*backlog, *(key[0] for key in seen.oldest_queued)}:
            load = backlog.get(tenant)
            seen.steps[tenant, "waiting"] = float(sum(load.waiting.values())) if load else 0.0
            seen.steps[tenant, "running"] = float(load.running) if load else 0.0
            used = await self._ledger.used(tenant)
            seen.seconds[tenant,], seen.work_seconds[tenant,] = used.seconds, used.work_seconds
            price = cost(used.work_seconds, self._roster.named(tenant).price_per_hour)
            if price is not None:
                seen.costs[tenant,] = price
