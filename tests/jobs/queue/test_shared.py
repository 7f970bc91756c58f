"""What gateways and workers share in a real NATS: locks, keys that were used, batches, the end of traces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lipserve.errors import StorageError
from lipserve_jobs.queue import locks, names, tiers
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.erasure import Eraser
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.locks import TakenError, locked
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.once import Claim, Once
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Fault, Job, JobRequest, Tenant
from lipserve_jobs.records.batch import Batch
from lipserve_jobs.store import Keys, Store
from tests.support.nats import NatsServer

Run = Callable[[Callable[[Broker], Awaitable[None]]], None]


@pytest.fixture
def run(nats: NatsServer) -> Run:
    """Return what runs a test's coroutine with a connection."""

    async def connected(test: Callable[[Broker], Awaitable[None]]) -> None:
        broker = await Broker.open(BrokerOptions(nats.url))
        try:
            await test(broker)
        finally:
            await broker.close()

    return lambda test: asyncio.run(connected(test))


def test_a_lock_has_one_holder(run: Run) -> None:
    async def test(broker: Broker) -> None:
        async with locked(broker, "file.one"):
            with pytest.raises(TakenError):
                await locks.Lock(broker, "file.one").take()
            async with locked(broker, "file.two"):
                pass
        async with locked(broker, "file.one"):
            pass

    run(test)


def test_a_lock_that_was_lost_cannot_be_lengthened(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LENGTHEN_SECONDS", 0.0)

    async def test(broker: Broker) -> None:
        async with locked(broker, "file.three") as lock:
            await lock.lengthen()
            await lock.lengthen()
            await broker.bucket(names.LOCKS).delete("file.three")
            async with locked(broker, "file.three"):
                with pytest.raises(TakenError):
                    await lock.lengthen()

    run(test)


def test_a_key_is_used_once_and_by_its_tenant_alone(run: Run) -> None:
    first, second = Claim(digest="a", id="1"), Claim(digest="b", id="2")

    async def test(broker: Broker) -> None:
        once = Once(broker)
        assert await once.claim("acme", "key", first) == first
        assert await once.claim("acme", "key", second) == first
        assert await once.claim("beta", "key", second) == second
        assert await once.claim("acme", "../key > *", second) == second

    run(test)


def test_a_batch_is_cancelled_once_and_for_all(run: Run) -> None:
    async def test(broker: Broker) -> None:
        batches, batch = Batches(broker), Batch.new("acme", 3, "films")
        await batches.create(batch)
        assert await batches.get("acme", batch.id) == batch
        assert await batches.get("beta", batch.id) is None
        assert await batches.cancel("beta", batch.id) is None
        for _ in range(2):
            cancelled = await batches.cancel("acme", batch.id)
            assert cancelled is not None
            assert (cancelled.state, cancelled.rows) == ("cancelled", 3)

    run(test)


def test_the_tiers_that_were_told_last_are_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(broker: Broker) -> None:
        told = Tiers(broker)
        assert await told.known() is None
        await told.tell(["latentsync", "lipwarp"])
        assert await told.known() == ("lipwarp", "latentsync")
        await told.tell(["wav2lip"])  # another worker
        assert await told.known() == ("lipwarp", "wav2lip", "latentsync")
        await told.tell(["wav2lip", "lipwarp"])
        assert await told.known() == ("lipwarp", "wav2lip", "latentsync")
        when = await told.times()
        monkeypatch.setattr(tiers, "_STALE", when["lipwarp"] - when["latentsync"])  # as if minutes had passed
        assert await told.known() == ("lipwarp", "wav2lip")

    run(test)


def test_nothing_of_a_job_is_left(run: Run, tmp_path: Path) -> None:
    mine, shared = "a" * 32, "b" * 32

    async def test(broker: Broker) -> None:
        store, journal, ends = Store.open(str(tmp_path)), Journal(broker), Ends(broker)
        work = Work(broker, lambda name: Tenant(name=name))
        request = JobRequest(video=f"file:{mine}", speech=f"file:{shared}", webhook="https://example.com")
        job, other = Job.new(request, "acme"), Job.new(request, "acme").changed(files=(shared,))
        for file in (mine, shared):
            await store.write(f"files/acme/{file}/000000000000000", b"film")
        await store.write(Keys.of(job).request, b"{}")
        await journal.create(job)
        await work.put(job, PLAN)
        await ends.tell(job)
        await ends.bury(job, PLAN, Fault(code="internal", message="x"), 1)
        await Eraser(store, journal, work, ends, Batches(broker)).erase("acme", [job], [job, other])
        assert [found.key async for found in store.list("files/")] == [f"files/acme/{shared}/000000000000000"]
        assert [found.key async for found in store.list("jobs/")] == []
        assert await journal.get("acme", job.id) is None
        for stream in (names.WORK, names.HOOKS, names.DEAD):
            assert (await broker.js.stream_info(stream)).state.messages == 0

    run(test)


def test_a_job_that_cannot_be_erased_keeps_no_other(run: Run, tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        class Failing(Store):
            async def remove_all(self, prefix: str) -> None:
                if stuck.id in prefix:
                    raise StorageError("The store is away.", "")
                await super().remove_all(prefix)

        request = JobRequest(video="https://example.com/a", speech="https://example.com/b")
        stuck, *others = (Job.new(request, "beta") for _ in range(3))
        store, journal = Failing.open(str(tmp_path)), Journal(broker)
        for job in (stuck, *others):
            await journal.create(job)
        work, ends = Work(broker, lambda name: Tenant(name=name)), Ends(broker)
        eraser = Eraser(store, journal, work, ends, Batches(broker))
        with pytest.raises(StorageError):
            await eraser.erase("beta", [stuck, *others], [])
        assert [await journal.get("beta", job.id) for job in (stuck, *others)] == [stuck, None, None]
        await journal.erase("beta", stuck.id)

    run(test)


def test_the_heads_tell_of_every_change(run: Run) -> None:
    async def test(broker: Broker) -> None:
        journal = Journal(broker)
        request = JobRequest(video="https://example.com/a", speech="https://example.com/b")
        last, count = await journal.heads()
        job = Job.new(request, "acme")
        await journal.create(job)
        revision, more = await journal.heads()
        assert (revision > last, more) == (True, count + 1)
        seen = []
        async for entry in journal.watch():
            if entry is None:
                break
            seen.append(entry)
        assert ("acme", job.id, job, revision) in seen
        await journal.erase("acme", job.id)
        assert (await journal.heads())[1] == count

    run(test)
