"""Rows become jobs, each once, whatever is erased or dies meanwhile; with a real queue and store."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.records import Job
from lipserve_jobs.records.batch import Batch, row_id
from lipserve_jobs.store import Keys
from lipserve_jobs.store.keys import batch_rows, file_prefix
from lipserve_jobs.worker.batches import expand
from tests.support.jobs import Desk, desk, run
from tests.support.local_service import NOWHERE
from tests.support.nats import NatsServer

B = "https://example.com/b.wav"


async def batch_of(at: Desk, rows: int, video: str = "https://example.com/a.mp4") -> Batch:
    """Return a batch as a gateway leaves it."""
    batch = Batch.new("local", rows)
    lines = [json.dumps({"video": video, "speech": B, "name": f"row {row}"}) for row in range(1, rows + 1)]
    await at.tools.store.write(batch_rows("local", batch.id), "\n".join(lines).encode())
    await at.tools.batches.create(batch)
    return batch


async def job_of(at: Desk, batch: Batch, row: int) -> Job | None:
    return await at.tools.journal.get("local", row_id(batch.id, row))


async def erase(at: Desk, batch: Batch, row: int) -> None:
    job = await job_of(at, batch, row)
    assert job is not None
    await at.tools.eraser.erase("local", [job], [job])


class Hooked(Journal):
    """A journal that calls something before it writes a new record."""

    def __init__(self, at: Desk, before: Callable[[Job], Awaitable[None]]) -> None:
        super().__init__(at.broker)
        self._before = before

    async def create(self, job: Job) -> bool:
        await self._before(job)
        return await super().create(job)


def test_every_row_becomes_a_job_once_and_the_rows_go(nats: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, NOWHERE) as at:
            batch = await batch_of(at, 3)
            await expand(at.tools, "local", batch.id)
            jobs = [await job_of(at, batch, row) for row in (1, 2, 3)]
            assert [job and job.name for job in jobs] == ["row 1", "row 2", "row 3"]
            for job in jobs:
                assert job is not None
                assert await at.tools.work.waiting_for(job.id) == {PLAN}
            known = await at.tools.batches.get("local", batch.id)
            assert known is not None
            assert (known.expanded, known.waits, known.gone) == (True, False, 0)
            assert await at.tools.store.size(batch_rows("local", batch.id)) is None
            await erase(at, batch, 2)
            await expand(at.tools, "local", batch.id)  # as if its answer to the queue had been lost
            assert await job_of(at, batch, 2) is None

    run(test())


def test_a_job_that_is_erased_before_all_rows_are_jobs_does_not_come_back(
    nats: NatsServer, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, NOWHERE) as at:
            batch = await batch_of(at, 4)

            async def before(job: Job) -> None:
                if job.name == "row 3":
                    await erase(at, batch, 1)
                    raise ConnectionError("the worker dies")

            with pytest.raises(ConnectionError):
                await expand(replace(at.tools, journal=Hooked(at, before)), "local", batch.id)
            await expand(at.tools, "local", batch.id)
            found = [await job_of(at, batch, row) for row in (1, 2, 3, 4)]
            assert [job and job.name for job in found] == [None, "row 2", "row 3", "row 4"]
            assert await at.tools.work.waiting_for(row_id(batch.id, 1)) == set()
            left = [found.key async for found in at.tools.store.list(f"jobs/local/{row_id(batch.id, 1)}/")]
            assert left == []

    run(test())


def test_a_slow_worker_takes_back_the_job_that_another_has_made_and_somebody_erased(
    nats: NatsServer, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, NOWHERE) as at:
            batch = await batch_of(at, 3)

            async def before(job: Job) -> None:
                if job.name == "row 2":
                    await expand(at.tools, "local", batch.id)
                    await erase(at, batch, 2)

            await expand(replace(at.tools, journal=Hooked(at, before)), "local", batch.id)
            assert [await job_of(at, batch, row) is None for row in (1, 2, 3)] == [False, True, False]

    run(test())


@pytest.mark.parametrize("end", ["cancelled", "erased"])
def test_no_row_becomes_a_job_after_the_end_of_its_batch(nats: NatsServer, tmp_path: Path, end: str) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, NOWHERE) as at:
            batch = await batch_of(at, 3)

            async def before(job: Job) -> None:
                if job.name == "row 2":
                    if end == "cancelled":
                        await at.tools.batches.cancel("local", batch.id)
                    else:
                        await at.tools.batches.forget("local", batch.id)

            await expand(replace(at.tools, journal=Hooked(at, before)), "local", batch.id)
            assert [await job_of(at, batch, row) is None for row in (1, 2, 3)] == [False, True, True]
            job = await job_of(at, batch, 1)
            assert job is not None
            objects = [found.key async for found in at.tools.store.list("jobs/local/")]
            assert [key for key in objects if key[:23] == Keys.of(job).request[:23]] == [Keys.of(job).request]

    run(test())


def test_a_file_stays_while_rows_wait_that_name_it(nats: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, NOWHERE) as at:
            film = await at.file(b"film")
            prefix = file_prefix("local", film.removeprefix("file:"))
            batch = await batch_of(at, 2, film)

            async def before(job: Job) -> None:
                if job.name == "row 2":
                    await erase(at, batch, 1)
                    raise ConnectionError("the worker dies")

            with pytest.raises(ConnectionError):
                await expand(replace(at.tools, journal=Hooked(at, before)), "local", batch.id)
            assert [found.key async for found in at.tools.store.list(prefix)] != []
            await expand(at.tools, "local", batch.id)
            await erase(at, batch, 2)
            assert [found.key async for found in at.tools.store.list(prefix)] == []

    run(test())
