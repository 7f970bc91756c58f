"""What is done with jobs that are there: cancel, try again, erase."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lipserve.errors import LipServeError
from lipserve_jobs.gateway.kept import Kept
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.problems import Problem, not_found
from lipserve_jobs.gateway.quotas import Quotas
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.erasure import Eraser, files_of
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, Tenant
from lipserve_jobs.records.batch import Batch
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import batch_rows

log = logging.getLogger("lipserve.jobs")
_LATE_SECONDS = 10.0
_SETTLE_SECONDS = 0.3


class Control:
    """Cancels jobs, has them tried again, and erases them."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        work: Work,
        ends: Ends,
        batches: Batches,
        mirror: Mirror,
        quotas: Quotas,
        keep_seconds: float,
    ) -> None:
        self._store, self._journal, self._work, self._ends = store, journal, work, ends
        self._batches, self._mirror = batches, mirror
        self._quotas, self._keep_seconds = quotas, keep_seconds
        self._eraser = Eraser(store, journal, work, ends, batches)
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
        """Remove a job and all traces of it, wherever it is; Problem 404 where there is none."""
        job = await self._journal.get(tenant, id)
        if job is None:
            raise not_found("job")
        await self._erase(tenant, [job])

    async def _erase(self, tenant: str, jobs: list[Job]) -> None:
        await self._eraser.erase(tenant, jobs, self._mirror.of(tenant))
        for job in jobs:
            self._mirror.erased(tenant, job.id)
        self._later(lambda: self._sweep(jobs))

    async def cancel_batch(self, tenant: str, id: str) -> Batch:
        """End all jobs of a batch as cancelled that have not ended; rows without a job get none.

        Raises:
            Problem: 404, there is no such batch.
        """
        batch = await self._batches.cancel(tenant, id)
        if batch is None:
            raise not_found("batch")
        await self._work.drop(id)
        left = [job.id for job in self._of(tenant, id)]
        while left:
            for job in left:
                with suppress(Problem):  # it was erased meanwhile
                    await self.cancel(tenant, job)
            await asyncio.sleep(_SETTLE_SECONDS)  # some may have been made meanwhile
            left = [job.id for job in self._of(tenant, id) if not job.final]
        await self._store.remove(batch_rows(tenant, id))
        return batch

    async def erase_batch(self, tenant: str, id: str) -> None:
        """Remove a batch, its jobs, and all traces of them; Problem 404 where there is none."""
        if await self._batches.cancel(tenant, id) is None:
            raise not_found("batch")
        await self._work.drop(id)
        rows = await self._store.read(batch_rows(tenant, id)) or b""
        while jobs := self._of(tenant, id):
            await self._erase(tenant, [kept.job for kept in jobs])
            await asyncio.sleep(_SETTLE_SECONDS)  # some may have been made meanwhile
        await self._eraser.erase(tenant, [], self._mirror.of(tenant), files_of(rows))
        await self._store.remove(batch_rows(tenant, id))
        await self._batches.forget(tenant, id)
        self._later(lambda: self._sweep_batch(tenant, id))

    def _of(self, tenant: str, batch: str) -> list[Kept]:
        return [job for job in self._mirror.of(tenant) if job.batch == batch]

    def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something after what workers do that were told to give up."""

        async def late() -> None:
            await asyncio.sleep(_LATE_SECONDS)
            try:
                await work()
            except LipServeError as error:  # a keeper removes it in a day
                log.warning("traces of what was erased may stay for a day: %s", error)

        task = asyncio.create_task(late())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _sweep(self, jobs: list[Job]) -> None:
        """Remove what workers have still written of jobs."""
        for job in jobs:
            if await self._journal.get(job.tenant, job.id) is None:
                await self._store.remove_all(Keys.of(job).prefix)

    async def _sweep_batch(self, tenant: str, id: str) -> None:
        """Remove the job that a worker was just making of a row."""
        if jobs := self._of(tenant, id):
            await self._erase(tenant, [kept.job for kept in jobs])
