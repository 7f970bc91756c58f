"""What every step of a worker uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lipserve_client import AsyncClient
from lipserve_client._piecewise import Piecewise
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.erasure import Eraser
from lipserve_jobs.queue.journal import Change, Journal
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Fault, Job, Tenant
from lipserve_jobs.records.job import State
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.worker.outside import Outside
from lipserve_jobs.worker.workshop import Workshop


class JobEndedError(Exception):
    """The job has ended otherwise: it was cancelled, or another worker was faster."""


@dataclass(frozen=True)
class Tools:
    """The queue, the store, the servers.

    Attributes:
        keep_seconds: that a job is kept after its end.
    """

    store: Store
    journal: Journal
    work: Work
    ends: Ends
    ledger: Ledger
    batches: Batches
    workshop: Workshop
    client: AsyncClient
    tenant: Callable[[str], Tenant]
    keep_seconds: float
    outside: Outside

    @property
    def eraser(self) -> Eraser:
        return Eraser(self.store, self.journal, self.work, self.ends, self.batches)

    @property
    def piecewise(self) -> Piecewise:
        return Piecewise(self.client)

    async def change(self, job: Job, change: Callable[[Job], Job]) -> Job:
        """Change the record of a job that has not ended; JobEndedError where it has."""

        def unless_ended(now: Job) -> Job | None:
            return None if now.final or now.round != job.round else change(now)

        found, _ = await self.journal.change(job.tenant, job.id, unless_ended)
        if found is None or found.final or found.round != job.round:
            raise JobEndedError
        return found

    async def end(self, job: Job, state: State, **fields: object) -> Job:
        """End a job, once; JobEndedError where it has ended already."""

        def ended(now: Job) -> Job | None:
            over = now.final or now.round != job.round
            return None if over else now.ended_as(state, self.keep_seconds, **fields)

        change: Change = ended
        found, changed = await self.journal.change(job.tenant, job.id, change)
        if found is None or not changed:
            raise JobEndedError
        await self.ends.tell(found)
        return found

    async def fail(self, job: Job, fault: Fault) -> None:
        """End a job by an error; what has been made of it stays until it is retried or erased."""
        await self.end(job, "failed", error=fault)
        await self.work.drop(job.id)

    async def sweep(self, job: Job) -> None:
        """Remove what a job that is done does not need any more."""
        keys = Keys.of(job)
        await self.store.remove_all(keys.pieces)
        await self.store.remove_all(f"{keys.prefix}sources/")
        await self.store.remove(keys.plan)
