"""Jobs without a gateway: what it would write, and workers of this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lipserve import AsyncClient
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, JobRequest, Tenants
from lipserve_jobs.records.job import new_id
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import file_prefix
from lipserve_jobs.worker.outside import Outside
from lipserve_jobs.worker.tools import Tools
from lipserve_jobs.worker.worker import Worker
from lipserve_jobs.worker.workshop import Workshop

T = TypeVar("T")


@dataclass
class Desk:
    """Sends jobs, and looks at them.

    Attributes:
        tools: of workers of this process; the servers that they call are `url`'s.
    """

    tools: Tools
    broker: Broker

    async def file(self, content: bytes, tenant: str = "local") -> str:
        """Return the reference of a file that was sent."""
        id = new_id()
        await self.tools.store.write(f"{file_prefix(tenant, id)}{0:015d}", content)
        return f"file:{id}"

    async def submit(
        self, video: bytes, speech: bytes | None = None, tenant: str = "local", **fields: Any
    ) -> Job:
        """Send a job."""
        given = {"video": await self.file(video, tenant), **fields}
        if speech is not None:
            given["speech"] = await self.file(speech, tenant)
        return await self.send(JobRequest.of(given), tenant)

    async def send(self, request: JobRequest, tenant: str = "local") -> Job:
        job = Job.new(request, tenant)
        text = json.dumps(request.model_dump(mode="json", exclude_unset=True)).encode()
        await self.tools.store.write(Keys.of(job).request, text)
        assert await self.tools.journal.create(job)
        await self.tools.work.put(job, PLAN)
        return job

    async def now(self, job: Job) -> Job:
        found = await self.tools.journal.get(job.tenant, job.id)
        assert found is not None, "the job is gone"
        return found

    async def until(self, job: Job, holds: Callable[[Job], bool], seconds: float = 120) -> Job:
        """Return the record as soon as `holds` is true of it."""
        async with asyncio.timeout(seconds):
            while not holds(found := await self.now(job)):
                await asyncio.sleep(0.02)
        return found

    async def ended(self, job: Job) -> Job:
        return await self.until(job, lambda now: now.final)

    async def result(self, job: Job) -> bytes:
        """Return the result of a job that is done."""
        assert job.error is None
        assert job.result is not None
        content = await self.tools.store.read(job.result.key)
        assert content is not None
        return content

    async def objects(self, job: Job) -> list[str]:
        """Return what the store holds of a job, without its folder."""
        prefix = Keys.of(job).prefix
        return sorted([found.key.removeprefix(prefix) async for found in self.tools.store.list(prefix)])

    async def emptied(self, seconds: float = 120) -> None:
        """Return as soon as nothing waits, and nothing is in work.

        A worker gives a step up after its job has ended: who sees the end may be earlier.
        """
        async with asyncio.timeout(seconds):
            while any(
                sum(load.waiting.values()) + load.running
                for load in (await self.tools.work.backlog()).values()
            ):
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def worker(self, places: int = 2) -> AsyncIterator[Worker]:
        """A worker of this process; it finishes what it is at when the block is left."""
        worker = Worker(self.tools, places)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.end()
            await running


@asynccontextmanager
async def desk(
    nats: str, folder: Path, url: str, tenants: Tenants | None = None, **client: Any
) -> AsyncIterator[Desk]:
    """Give a desk whose store is in `folder`.

    Args:
        url: of Triton. client: arguments of its client.
    """
    broker = await Broker.open(BrokerOptions(nats))
    named = (tenants or Tenants()).named
    store, outside = Store.open(str(folder / "store")), Outside(named, private=True)
    async with AsyncClient(url, provenance=False, **client) as caller:
        tools = Tools(
            store=store,
            journal=Journal(broker),
            work=Work(broker, named),
            ends=Ends(broker),
            ledger=Ledger(broker),
            batches=Batches(broker),
            workshop=Workshop(store, folder / "scratch", outside),
            client=caller,
            tenant=named,
            keep_seconds=3600,
            outside=outside,
        )
        try:
            yield Desk(tools, broker)
        finally:
            await broker.close()


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, for three minutes at most."""
    return asyncio.run(asyncio.wait_for(test, 180))
