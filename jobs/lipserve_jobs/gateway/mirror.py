"""All records, as they are now, in memory: for lists, counts, quotas, and whoever waits for a change."""

from __future__ import annotations

import asyncio
import bisect
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from lipserve.errors import LipServeError
from lipserve_jobs.gateway.kept import Kept
from lipserve_jobs.queue import cancellation
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.records import Job

log = logging.getLogger("lipserve.jobs")
CHECK_SECONDS = 2.0
"""After which it is seen that NATS has forgotten to tell of changes."""
_MOST_GONE = 10_000


class Listener:
    """Hears of jobs that change; of one that changes often, the last record alone is kept."""

    def __init__(self, id: str | None) -> None:
        self.id = id
        self._news: dict[str, Job | None] = {}
        self._rung = asyncio.Event()

    def hear(self, id: str, job: Job | None) -> None:
        if self.id in (None, id):
            self._news.pop(id, None)
            self._news[id] = job
            self._rung.set()

    async def news(self, seconds: float) -> dict[str, Job | None]:
        """Wait so long for changes, and return them; None: the job is erased."""
        with cancellation.kept(), suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        news, self._news = self._news, {}
        self._rung.clear()
        return news


class Mirror:
    """The records of all tenants.

    Attributes:
        journal: what is written through it is here at once. filled: whether all are here.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker, self.journal = broker, Journal(broker, self.note)
        self._jobs: dict[str, dict[str, Kept]] = defaultdict(dict)
        self._order: dict[str, list[str]] = defaultdict(list)
        self._states: dict[str, Counter[str]] = defaultdict(Counter)
        self._batches: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._revision = 0
        self._gone: dict[tuple[str, str], int] = {}  # revisions of the ends of the last that were erased
        self.filled = False

    async def run(self) -> None:
        """Follow the records until it is cancelled."""
        while True:
            following = asyncio.create_task(self._follow())
            checking = asyncio.create_task(self._check())
            try:
                done, _ = await asyncio.wait({following, checking}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is not None:
                        log.warning("the records are read anew: %s", task.exception())
            finally:
                for task in (following, checking):
                    task.cancel()
                await asyncio.wait({following, checking})
            await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        seen: set[tuple[str, str]] = set()
        first, (last, _) = True, await self.journal.heads()
        async for entry in self.journal.watch():
            if entry is None:  # all that there are have come: others are gone
                if first:
                    self._keep_only(seen)
                    self._revision = max(self._revision, last)
                first, self.filled = False, True
                continue
            tenant, id, job, revision = entry
            if first:
                seen.add((tenant, id))
            self._revision = max(self._revision, revision)
            self.note(tenant, id, job, revision)

    async def _check(self) -> None:
        """Return when something was missed: the connection was new, or changes did not come."""
        nc, strikes = self._broker.nc, 0
        before = nc.stats["reconnects"]
        while strikes < 2:
            await asyncio.sleep(CHECK_SECONDS)
            if nc.stats["reconnects"] != before:
                return
            with suppress(LipServeError):
                last, count = await self.journal.heads()
                missed = last > self._revision or count != sum(map(len, self._jobs.values()))
                strikes = strikes + 1 if missed and self.filled else 0

    def erased(self, tenant: str, id: str) -> None:
        """Take in that a record was erased here; what NATS still tells of it is older."""
        known = self._jobs[tenant].get(id)
        self.note(tenant, id, None, 0 if known is None else known.revision + 1)

    def note(self, tenant: str, id: str, job: Job | None, revision: int) -> None:
        """Take in what a record is now; an older revision than that which is here is passed over.

        What this gateway writes comes at once, and again when NATS tells of it. Machines' clocks differ, so
        that no time tells which of two is older.
        """
        jobs, order = self._jobs[tenant], self._order[tenant]
        old = jobs.get(id)
        if revision < (self._gone.get((tenant, id), 0) if old is None else old.revision):
            return
        if job is None:
            self._bury(tenant, id, revision)
        if (old is None) == (job is None) and (old is None or old.revision == revision):
            return
        if old is None:
            bisect.insort(order, id)
        else:
            self._count(old, -1)
        if job is None:
            del jobs[id]
            del order[bisect.bisect_left(order, id)]
        else:
            new = jobs[id] = Kept(id if old is None else old.id, job, revision)
            self._count(new, 1)
        for listener in self._listeners.get(tenant, ()):
            listener.hear(id, job)

    def _bury(self, tenant: str, id: str, revision: int) -> None:
        """Keep that a job was erased: what was written before may still be told."""
        self._gone[tenant, id] = revision
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def _keep_only(self, seen: set[tuple[str, str]]) -> None:
        for tenant, jobs in list(self._jobs.items()):
            for id in [id for id in jobs if (tenant, id) not in seen]:
                self.erased(tenant, id)
        seen.clear()

    def _count(self, job: Kept, by: int) -> None:
        self._states[job.tenant][job.state] += by
        if job.batch is not None:
            counts = self._batches[job.tenant, job.batch]
            counts[job.state] += by
            if not any(counts.values()):
                del self._batches[job.tenant, job.batch]

    def tenants(self) -> list[str]:
        """Return the tenants that have records."""
        return [tenant for tenant, jobs in self._jobs.items() if jobs]

    def get(self, tenant: str, id: str) -> Job | None:
        kept = self._jobs[tenant].get(id) if tenant in self._jobs else None
        return None if kept is None else kept.job

    def of(self, tenant: str) -> Iterable[Kept]:
        """Return all jobs of a tenant."""
        return list(self._jobs[tenant].values()) if tenant in self._jobs else ()

    def newest(self, tenant: str, before: str | None) -> Iterator[Kept]:
        """Yield a tenant's jobs, newest first: those older than an id, or all."""
        order = self._order.get(tenant, [])
        end = len(order) if before is None else bisect.bisect_left(order, before)
        for id in reversed(order[:end]):
            yield self._jobs[tenant][id]

    def states(self, tenant: str) -> Counter[str]:
        """Return how many jobs of a tenant are in each state."""
        return self._states.get(tenant, Counter())

    def batch(self, tenant: str, batch: str) -> Counter[str]:
        """Return how many jobs of a batch are in each state."""
        return self._batches.get((tenant, batch), Counter())

    @contextmanager
    def listening(self, tenant: str, id: str | None = None) -> Iterator[Listener]:
        """Give a listener for a job, or for all of a tenant."""
        listener = Listener(id)
        self._listeners[tenant].add(listener)
        try:
            yield listener
        finally:
            self._listeners[tenant].discard(listener)
            if not self._listeners[tenant]:
                del self._listeners[tenant]

    async def ended(self, job: Job, seconds: float) -> bool:
        """Wait until a job has ended; False: it has not in this time."""
        end = time.monotonic() + seconds
        with self.listening(job.tenant, job.id) as listener:
            now: Job | None = self.get(job.tenant, job.id) or job
            while now is not None and not now.final:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                now = (await listener.news(left)).get(job.id, now)
        return True
