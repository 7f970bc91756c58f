"""The queue, on a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.names import LEVELS, PLAN, Step
from lipserve_jobs.queue.work import Task, Work
from lipserve_jobs.records import Job, JobRequest, Priority, Quota, Tenant
from tests.support.nats import NatsServer, three_servers

REQUEST = JobRequest.of({"video": "https://media.example/v.mp4", "speech": "https://media.example/s.wav"})
TENANTS = {
    "narrow": Tenant(name="narrow", quota=Quota(segments=2)),
    "heavy": Tenant(name="heavy", weight=2.0),
}


def tenant(name: str) -> Tenant:
    return TENANTS.get(name, Tenant(name=name))


@asynccontextmanager
async def opened(server: NatsServer) -> AsyncIterator[Work]:
    """A queue that is empty."""
    broker = await Broker.open(BrokerOptions(server.url))
    try:
        await broker.js.purge_stream(names.WORK)
        for info in await broker.js.consumers_info(names.WORK):
            await broker.js.delete_consumer(names.WORK, info.name or "")
        yield Work(broker, tenant)
    finally:
        await broker.close()


def with_work(server: NatsServer, test: Callable[[Work], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(server) as work:
            await test(work)

    asyncio.run(run())


async def _put(work: Work, name: str, count: int, priority: Priority = "normal") -> list[Job]:
    """Put jobs of a tenant into the queue, and wait until the server counts them: that is a moment later."""
    jobs = [Job.new(REQUEST.model_copy(update={"priority": priority}), name) for _ in range(count)]
    before = await _waiting(work, name, priority)
    for job in jobs:
        await work.put(job, PLAN)
    while await _waiting(work, name, priority) < before + count:
        await asyncio.sleep(0.01)
    return jobs


async def _waiting(work: Work, name: str, priority: Priority) -> int:
    backlog = (await work.backlog()).get(name)
    return 0 if backlog is None else backlog.waiting.get(LEVELS[priority], 0)


async def _due(work: Work) -> Task | None:
    """Take what was given back: the server hears of that beside other requests."""
    for _ in range(100):
        task = await work.take()
        if task is not None:
            return task
        await asyncio.sleep(0.05)
    return None


def test_tenants_take_turns_however_much_one_has_sent(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "many", 20)
        await _put(work, "few", 2)
        served = [task.tenant for _ in range(6) if (task := await work.take())]
        assert sorted(served[:4]) == ["few", "few", "many", "many"]
        assert served[4:] == ["many", "many"]

    with_work(nats, test)


def test_a_heavier_tenant_has_more_in_work(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "heavy", 9)
        await _put(work, "light", 9)
        served = [task.tenant for _ in range(9) if (task := await work.take())]
        assert served.count("heavy") == 6

    with_work(nats, test)


def test_a_tenants_own_jobs_go_by_priority(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        low = await _put(work, "one", 1, "low")
        normal = await _put(work, "one", 2)
        high = await _put(work, "one", 1, "high")
        taken = [task.job for _ in range(4) if (task := await work.take())]
        assert taken == [job.id for job in (*high, *normal, *low)]

    with_work(nats, test)


def test_a_tenant_has_no_more_segments_in_work_than_its_quota(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "narrow", 5)
        taken = [await work.take() for _ in range(3)]
        assert taken[2] is None
        assert taken[0] is not None
        await taken[0].done()
        assert await work.take() is not None

    with_work(nats, test)


def test_the_spare_place_is_for_a_tenant_that_has_nothing_in_work(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "many", 3)
        assert await work.take() is not None
        assert await work.take(spare=True) is None
        await _put(work, "few", 1)
        found = await work.take(spare=True)
        assert found is not None
        assert found.tenant == "few"

    with_work(nats, test)


def test_a_step_that_is_put_twice_is_handed_out_once(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        (job,) = await _put(work, "one", 1)
        await work.put(job, PLAN)
        await work.put(job, Step("piece", 7))
        taken = [task.step for _ in range(3) if (task := await work.take())]
        assert taken == [PLAN, Step("piece", 7)]

    with_work(nats, test)


def test_a_step_that_is_given_back_comes_again_and_is_counted(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "one", 1)
        first = await work.take()
        assert first is not None
        await first.again(0)
        second = await _due(work)
        assert second is not None
        assert (first.delivered, second.delivered) == (1, 2)
        await second.done()
        assert await work.take() is None

    with_work(nats, test)


def test_a_full_quota_does_not_hold_back_what_is_due_again(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        await _put(work, "narrow", 3)
        taken = [await work.take() for _ in range(2)]
        assert await work.take() is None
        assert taken[0] is not None
        await taken[0].again(0)
        second = await _due(work)
        assert second is not None
        assert (second.job, second.delivered) == (taken[0].job, 2)
        assert await work.take() is None

    with_work(nats, test)


def test_a_cancelled_job_leaves_the_queue_at_once(nats: NatsServer) -> None:
    async def test(work: Work) -> None:
        gone, kept = await _put(work, "one", 2)
        heard: list[str] = []
        await work.on(names.CANCEL, heard.append)
        taken = await work.take()
        assert taken is not None
        assert await work.waiting_for(gone.id) == {PLAN}
        await work.drop(gone.id)
        assert await work.waiting_for(gone.id) == set()
        assert await work.waiting_for(kept.id) == {PLAN}
        for _ in range(100):
            if heard:
                break
            await asyncio.sleep(0.01)
        assert heard == [gone.id]

    with_work(nats, test)


def test_work_that_was_put_outlives_the_server(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:

        async def test(work: Work) -> None:
            (job,) = await _put(work, "one", 1)
            await asyncio.to_thread(server.restart)
            task = await work.take()
            assert task is not None
            assert task.job == job.id
            await task.done()
            assert (await work.backlog())["one"].running == 0

        with_work(server, test)


@pytest.mark.slow
def test_three_servers_lose_one_and_hand_everything_out(tmp_path: Path) -> None:
    with three_servers(tmp_path) as servers:

        async def run() -> None:
            addresses = ",".join(server.url for server in servers)
            broker = await Broker.open(BrokerOptions(addresses, replicas=3))
            try:
                work = Work(broker, tenant)
                before = await _put(work, "one", 5)
                await asyncio.to_thread(servers[0].kill)
                after = await _put(work, "one", 5)
                taken = []
                while len(taken) < 10:
                    task = await work.take()
                    if task is not None:
                        taken.append(task.job)
                        await task.done()
                assert sorted(taken) == sorted(job.id for job in before + after)
            finally:
                await broker.close()

        asyncio.run(asyncio.wait_for(run(), 120))
