"""Records of jobs, on a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.records import Job, JobRequest, Result
from tests.support.nats import NatsServer

REQUEST = JobRequest.of({"video": "https://media.example/v.mp4", "speech": "https://media.example/s.wav"})


def with_broker(server: NatsServer, test: Callable[[Broker], Awaitable[None]]) -> None:
    async def run() -> None:
        broker = await Broker.open(BrokerOptions(server.url))
        try:
            await test(broker)
        finally:
            await broker.close()

    asyncio.run(run())


def test_a_record_is_created_once(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        journal, job = Journal(broker), Job.new(REQUEST, "one")
        assert await journal.create(job)
        assert not await journal.create(job.changed(name="another"))
        assert await journal.get("one", job.id) == job
        assert await journal.get("two", job.id) is None

    with_broker(nats, test)


def test_changes_at_the_same_time_all_count(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        journal, job = Journal(broker), Job.new(REQUEST, "one").changed(pieces=20, frames=200)
        await journal.create(job)
        await asyncio.gather(
            *(
                journal.change("one", job.id, lambda now, place=place: now.with_piece(place, 10, 0.5))
                for place in range(20)
            )
        )
        found = await journal.get("one", job.id)
        assert found is not None
        assert (found.frames_done, found.missing, found.work_seconds) == (200, [], 10.0)

    with_broker(nats, test)


def test_only_one_of_two_ends_a_job(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        journal, job = Journal(broker), Job.new(REQUEST, "one")
        await journal.create(job)

        def end(now: Job, state: str) -> Job | None:
            return None if now.final else now.ended_as(state, 60)  # type: ignore[arg-type]

        answers = await asyncio.gather(
            journal.change("one", job.id, lambda now: end(now, "done")),
            journal.change("one", job.id, lambda now: end(now, "cancelled")),
        )
        assert sorted(changed for _, changed in answers) == [False, True]

    with_broker(nats, test)


def test_a_watcher_sees_what_is_there_and_what_changes(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        journal, job = Journal(broker), Job.new(REQUEST, "watched")
        await journal.create(job)
        seen: list[Job | None] = []
        changes = journal.watch()
        async for entry in changes:
            if entry is None:
                break
            if entry[1] == job.id:
                seen.append(entry[2])
        await journal.change("watched", job.id, lambda now: now.changed(state="making"))
        await journal.erase("watched", job.id)
        while len(seen) < 3:
            entry = await anext(changes)
            if entry is not None and entry[1] == job.id:
                seen.append(entry[2])
        assert [each and each.state for each in seen] == ["queued", "making", None]
        assert await journal.get("watched", job.id) is None
        await changes.aclose()

    with_broker(nats, test)


def test_a_month_counts_what_was_done(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        ledger = Ledger(broker)
        done = Job.new(REQUEST, "counted").changed(
            seconds=12.5, work_seconds=3.0, result=Result(key="k", size=1000, sha256="0" * 64)
        )
        await asyncio.gather(*(ledger.add(done) for _ in range(8)))
        used = await ledger.used("counted")
        assert (used.jobs, used.seconds, used.bytes, used.work_seconds) == (8, 100.0, 8000, 24.0)
        assert (await ledger.used("counted", "2001-01")).jobs == 0

    with_broker(nats, test)


def test_returns_are_counted_for_each_step(nats: NatsServer) -> None:
    async def test(broker: Broker) -> None:
        ends = Ends(broker)
        assert await ends.returns("a" * 32, PLAN) == 0
        assert [await ends.count_return("a" * 32, PLAN) for _ in range(3)] == [1, 2, 3]
        await ends.clear_returns("a" * 32, PLAN)
        assert await ends.returns("a" * 32, PLAN) == 0

    with_broker(nats, test)
