"""What is done with jobs that are there: cancel, try again, erase."""

from __future__ import annotations

import asyncio

from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.problems import Problem, not_found
from lipserve_jobs.gateway.quotas import Quotas
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.erasure import Eraser
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, Tenant
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import batch_rows

_LATE_SECONDS = 10.0


class Control:
    """Cancels jobs, has them tried again, and erases them."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        work: Work,
        ends: Ends,
        mirror: Mirror,
        quotas: Quotas,
        keep_seconds: float,
    ) -> None:
        self._store, self._journal, self._work, self._ends = store, journal, work, ends
        self._mirror, self._quotas, self._keep_seconds = mirror, quotas, keep_seconds
        self._eraser = Eraser(store, journal, work, ends)
        self._late: set[asyncio.Task[None]] = set()

    async def cancel(self, tenant: str, id: str) -> Job:
        """End a job as cancelled, if it has not ended; Problem 404 where there is none."""

        def change(now: Job) -> Job | None:
            return None if now.final else now.ended_as("cancelled", self._keep_seconds)

        job, changed = await self._journal.change(tenant, id, change)
        if job is None:
            raise not_found("job")
        if changed:
            await self._work.drop(id)
            await self._ends.tell(job)
        return job

    async def retry(self, tenant: Tenant, id: str) -> Job:
        """Begin a job anew that has failed or was cancelled; pieces that are made are kept."""
        job = await self._journal.get(tenant.name, id)
        if job is None:
            raise not_found("job")
        await self._quotas.check_jobs(tenant)
        if await self._store.size(Keys.of(job).request) is None:
            raise Problem(409, "conflict", "The files of the job are gone.", "Send the job again.")

        def change(now: Job) -> Job | None:
            if now.state not in ("failed", "cancelled"):
                return None
            fields: dict[str, object] = {"state": "queued", "round": now.round + 1, "error": None}
            fields |= dict.fromkeys(("started", "planned", "ended", "expires"))
            return now.changed(**fields, told="pending" if now.webhook else "no")

        again, changed = await self._journal.change(tenant.name, id, change)
        if again is None:
            raise not_found("job")
        if not changed:
            detail = f"The job is {again.state}: only one that has failed or was cancelled is tried again."
            raise Problem(409, "conflict", detail)
        await self._work.put(again, PLAN)
        return again

    async def erase(self, tenant: str, id: str) -> None:
        """Remove a job and all traces of it; one that has not ended is cancelled first."""
        job = await self.cancel(tenant, id)
        await self._eraser.erase(job, self._mirror.of(tenant))
        if job.batch is not None and not await self._work.waiting_for(job.batch):
            await self._store.remove(batch_rows(tenant, job.batch))  # it has the job's row
        self._mirror.erased(tenant, id)
        task = asyncio.create_task(self._sweep(job))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _sweep(self, job: Job) -> None:
        """Remove what a worker has still written while it was told to give up."""
        await asyncio.sleep(_LATE_SECONDS)
        if await self._journal.get(job.tenant, job.id) is None:
            await self._store.remove_all(Keys.of(job).prefix)
