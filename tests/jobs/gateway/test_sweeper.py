"""What was sent and is not used."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.sweeper import Sweeper
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import EXPAND
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, JobRequest, Tenant
from lipserve_jobs.records.batch import Batch
from lipserve_jobs.store import Store
from lipserve_jobs.store.keys import batch_rows
from tests.support.nats import NatsServer


def test_files_without_a_job_and_lists_without_jobs_go(nats: NatsServer, tmp_path: Path) -> None:
    used, unused = "a" * 32, "b" * 32

    async def test() -> None:
        broker = await Broker.open(BrokerOptions(nats.url))
        journal, batches, store = Journal(broker), Batches(broker), Store.open(str(tmp_path))
        work, mirror = Work(broker, lambda name: Tenant(name=name)), Mirror(broker)
        following = asyncio.create_task(mirror.run())
        try:
            with_jobs, waiting, gone = (Batch.new("acme", 1) for _ in range(3))
            for batch in (with_jobs, waiting, gone):
                await batches.create(batch)
                await store.write(batch_rows("acme", batch.id), b"{}")
            await work.put_as("acme", "normal", waiting.id, EXPAND, "1")
            for file in (used, unused):
                await store.write(f"files/acme/{file}/meta.json", b"{}")
                await store.write(f"files/acme/{file}/{0:015d}", b"film")
            request = JobRequest(video=f"file:{used}", speech="https://example.com/a")
            await journal.create(Job.new(request, "acme", with_jobs.id))
            while not list(mirror.of("acme")):
                await asyncio.sleep(0.01)
            sweeper = Sweeper(broker, store, mirror, batches, work)
            await sweeper.round(time.time() - 3600)  # all came within the hour
            assert len([found async for found in store.list("")]) == 7
            await sweeper.round(time.time() + 3600)
            left = {found.key async for found in store.list("")}
            assert left == {
                f"files/acme/{used}/meta.json",
                f"files/acme/{used}/{0:015d}",
                batch_rows("acme", with_jobs.id),
                batch_rows("acme", waiting.id),
            }
            assert await batches.get("acme", gone.id) is None
            assert await batches.get("acme", waiting.id) == waiting
        finally:
            following.cancel()
            await asyncio.wait([following])
            await broker.close()

    asyncio.run(test())
