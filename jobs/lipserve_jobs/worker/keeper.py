"""What nobody else looks after: jobs without a step in the queue, jobs that have expired, stray objects."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from lipserve.errors import LipServeError
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.locks import TakenError, locked
from lipserve_jobs.queue.names import JOIN, PLAN, Step
from lipserve_jobs.records import Job
from lipserve_jobs.worker.tools import Tools

log = logging.getLogger("lipserve.jobs")
ROUND_SECONDS = 30.0
_STILL_SECONDS = 60.0  # a job that nothing has touched for so long is looked at
_STRAY_SECONDS = 86_400.0
_STRAY_ROUNDS = 120  # the store is listed once an hour


class Keeper:
    """Looks after all jobs; one keeper of all workers holds the lock at a time."""

    def __init__(self, broker: Broker, tools: Tools) -> None:
        self._broker, self._tools = broker, tools
        self._rounds = 0

    async def run(self) -> None:
        while True:
            try:
                async with locked(self._broker, "keeper") as lock:
                    while True:
                        await self.round()
                        await asyncio.sleep(ROUND_SECONDS)
                        await lock.lengthen()
            except (TakenError, LipServeError) as error:
                log.debug("the keeper rests: %s", error)
            except Exception:
                log.exception("the keeper begins anew")
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self, strays: bool | None = None) -> None:
        """Look once after everything; `strays`: also at the store, by default once an hour."""
        jobs = await self._jobs()
        now = time.time()
        for tenant in {job.tenant for job in jobs}:
            own = [job for job in jobs if job.tenant == tenant]
            over = [job for job in own if job.final and job.expires is not None and job.expires < now]
            if over:
                with suppress(LipServeError):
                    await self._tools.eraser.erase(tenant, over, own)
        for job in jobs:
            if not job.final and now - job.touched > _STILL_SECONDS:
                with suppress(LipServeError):
                    await self._mend(job)
        if strays if strays is not None else self._rounds % _STRAY_ROUNDS == 0:
            await self._strays(jobs)
        self._rounds += 1

    async def _mend(self, job: Job) -> None:
        """Put the steps into the queue that a job waits for, where who should have done it died."""
        waiting = await self._tools.work.waiting_for(job.id)
        again = f"-{job.touched:.0f}"
        if job.state in ("queued", "preparing") or (job.state == "making" and job.pieces <= 1):
            wanted = [PLAN]
        elif job.state == "making" and job.missing:
            wanted = [Step("piece", place) for place in job.missing]
        else:
            wanted = [JOIN]
        for step in wanted:
            if step not in waiting:
                log.warning("job %s: step %s was lost; it is put into the queue again", job.id, step)
                await self._tools.work.put(job, step, again)

    async def _jobs(self) -> list[Job]:
        found = []
        async for entry in self._tools.journal.watch():
            if entry is None:
                break
            if entry[2] is not None:
                found.append(entry[2])
        return found

    async def _strays(self, jobs: list[Job]) -> None:
        """Remove objects of jobs that are gone, a day after they came. Sent files are the gateway's."""
        known = {job.id for job in jobs}
        store, old = self._tools.store, time.time() - _STRAY_SECONDS
        found = [(each.key, each.modified.timestamp()) async for each in store.list("jobs/")]
        fresh = {_job_of(key) for key, modified in found if modified > old}
        await store.remove(*(key for key, _ in found if _job_of(key) not in known | fresh))


def _job_of(key: str) -> str:
    """Return the id of the job that an object belongs to."""
    return key.split("/")[2]
