"""The records in memory: whatever NATS goes through, they are those of NATS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lipserve_jobs.gateway import mirror
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.records import Job, JobRequest, Result
from tests.support.gateways import Gateway
from tests.support.nats import NatsServer
from tests.support.waiting import until

REQUEST = JobRequest(video="https://example.com/a.mp4", speech="https://example.com/b.wav")
JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}


@contextlib.asynccontextmanager
async def following(server: NatsServer) -> AsyncIterator[tuple[Mirror, Journal, Broker]]:
    broker = await Broker.open(BrokerOptions(server.url))
    journal = Journal(broker)  # another one: what is written comes by NATS
    found = Mirror(broker)
    running = asyncio.create_task(found.run())
    try:
        await _until(lambda: found.filled)
        yield found, journal, broker
    finally:
        running.cancel()
        await asyncio.wait([running])
        await broker.close()


async def _until(condition: Callable[[], object]) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 60)


def test_records_come_change_and_go(nats: NatsServer) -> None:
    async def test() -> None:
        first = Job.new(REQUEST, "acme", "batch")
        async with following(nats) as (found, journal, _):
            await journal.create(first)
            await _until(lambda: found.get("acme", first.id))
            second = Job.new(REQUEST, "acme")
            await journal.create(second)
            await journal.change("acme", first.id, lambda now: now.changed(state="making"))
            await _until(lambda: found.states("acme")["making"] == found.states("acme")["queued"] == 1)
            assert found.batch("acme", "batch")["making"] == 1
            assert [job.id for job in found.newest("acme", None)] == [second.id, first.id]
            assert [job.id for job in found.newest("acme", second.id)] == [first.id]
            await journal.erase("acme", first.id)
            await _until(lambda: found.get("acme", first.id) is None)
            assert found.batch("acme", "batch").total() == 0
        async with following(nats) as (found, journal, _):
            assert [job.id for job in found.of("acme")] == [second.id]
            await journal.erase("acme", second.id)

    asyncio.run(test())


def test_the_later_revision_counts_whatever_the_clocks_say() -> None:
    found = Mirror(None)  # type: ignore[arg-type]
    job = Job.new(REQUEST, "acme")
    later = job.changed(state="making").model_copy(update={"touched": job.touched - 100})
    found.note("acme", job.id, job, 7)
    found.note("acme", job.id, later, 9)
    found.note("acme", job.id, job, 7)
    assert found.get("acme", job.id) == later
    assert (found.states("acme")["making"], found.states("acme")["queued"]) == (1, 0)
    found.erased("acme", job.id)
    found.note("acme", job.id, later, 9)
    assert found.get("acme", job.id) is None


def test_a_record_is_kept_whole_and_small() -> None:
    def made(number: int) -> Job:
        request = REQUEST.model_copy(update={"name": f"film {number}", "metadata": {"order": str(number)}})
        result = Result(
            key=f"jobs/acme/{number}/{secrets.token_hex(8)}.mp4", size=1, sha256=secrets.token_hex(32)
        )
        job = Job.new(request, "acme", "batch").changed(files=(secrets.token_hex(16),), frames=number)
        return job.ended_as("done", 60, result=result) if number % 2 else job

    jobs = [made(number) for number in range(1000)]
    found = Mirror(None)  # type: ignore[arg-type]
    tracemalloc.start()
    for revision, job in enumerate(jobs, 1):
        found.note("acme", job.id, job, revision)
    each = tracemalloc.get_traced_memory()[0] / len(jobs)
    tracemalloc.stop()
    assert each < 1000, "bytes a job"
    assert [found.get("acme", job.id) for job in jobs] == jobs
    assert [kept.job for kept in found.newest("acme", None)] == sorted(jobs, key=lambda job: job.id)[::-1]
    for kept, job in zip(found.of("acme"), jobs, strict=True):
        assert (kept.id, kept.files, kept.state, kept.final) == (job.id, job.files, job.state, job.final)
        assert (kept.tenant, kept.kind, kept.batch, kept.touched, kept.expires) == (
            "acme", "dub", "batch", job.touched, job.expires,
        )  # fmt: skip


def test_only_the_last_that_were_erased_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_MOST_GONE", 2)
    found, jobs = Mirror(None), [Job.new(REQUEST, "acme") for _ in range(3)]  # type: ignore[arg-type]
    for revision, job in enumerate(jobs, 1):
        found.note("acme", job.id, job, revision)
        found.erased("acme", job.id)
        found.note("acme", job.id, None, revision + 10)
        found.note("acme", job.id, job, revision)  # what was written before it was erased is told late
        assert found.get("acme", job.id) is None
    found.note("acme", jobs[0].id, jobs[0], 1)
    found.note("acme", jobs[1].id, jobs[1], 2)
    assert [job.id for job in found.of("acme")] == [jobs[0].id]
    found.note("acme", jobs[2].id, jobs[2], 30)  # it is made anew
    assert len(list(found.of("acme"))) == found.states("acme")["queued"] == 2


def test_what_is_written_here_is_here_at_once(nats: NatsServer) -> None:
    async def test() -> None:
        async with following(nats) as (found, _, _):
            job = Job.new(REQUEST, "acme")
            await found.journal.create(job)
            assert found.get("acme", job.id) == job
            changed, _ = await found.journal.change("acme", job.id, lambda now: now.changed(frames=7))
            assert found.get("acme", job.id) == changed
            assert await found.journal.create(changed)  # type: ignore[arg-type] # its first answer was lost
            assert not await found.journal.create(job)
            await found.journal.erase("acme", job.id)
            await _until(lambda: found.get("acme", job.id) is None)

    asyncio.run(test())


def test_a_watch_that_falls_silent_is_noticed(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "CHECK_SECONDS", 0.05)

    async def test() -> None:
        async with following(nats) as (found, journal, broker):
            gone, late = Job.new(REQUEST, "acme"), Job.new(REQUEST, "acme")
            await journal.create(gone)
            await _until(lambda: found.get("acme", gone.id))
            stream = f"KV_{names.JOBS}"
            for info in await broker.js.consumers_info(stream):
                await broker.js.delete_consumer(stream, info.name)
            await journal.erase("acme", gone.id)
            await journal.create(late)
            await _until(lambda: found.get("acme", late.id) and not found.get("acme", gone.id))
            await journal.erase("acme", late.id)
            await _until(lambda: not found.get("acme", late.id))

    asyncio.run(test())


def test_whoever_waits_hears_the_end_once_and_the_last_record_alone(nats: NatsServer) -> None:
    async def test() -> None:
        async with following(nats) as (found, journal, _):
            job = Job.new(REQUEST, "acme")
            await journal.create(job)
            await _until(lambda: found.get("acme", job.id))
            with found.listening("acme", job.id) as listener:
                for frames in range(1, 6):
                    await journal.change(
                        "acme", job.id, lambda now, frames=frames: now.changed(frames=frames)
                    )
                await _until(lambda: found.get("acme", job.id).frames == 5)  # type: ignore[union-attr]
                news = await listener.news(1)
                assert [now and now.frames for now in news.values()] == [5]
                assert await listener.news(0.01) == {}
            assert not await found.ended(job, 0.05)
            waiting = asyncio.create_task(found.ended(job, 60))
            await asyncio.sleep(0)
            await journal.change("acme", job.id, lambda now: now.ended_as("failed", 60))
            assert await waiting

    asyncio.run(test())


def test_a_gateway_outlives_its_nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipserve_jobs.gateway.observation.FRESH_SECONDS", 0.1)
    monkeypatch.setattr("lipserve_jobs.gateway.offer._ASK_SECONDS", 0.2)
    with NatsServer(tmp_path / "nats") as server:
        settings = Settings(BrokerOptions(server.url, patience=30), str(tmp_path / "store"))
        with Gateway(settings) as gateway, gateway.client() as client:
            ids = [client.post("/v1/jobs", json=JOB).json()["id"] for _ in range(3)]
            server.kill()
            until(lambda: client.get("/readyz").status_code == 503, "it is not ready without NATS")
            assert client.get("/healthz").status_code == 200
            assert client.get("/v1/me").json()["tenant"] == "local"
            timer = threading.Timer(0.5, server.start)
            timer.start()
            ids.append(client.post("/v1/jobs", json=JOB).json()["id"])  # it waits for NATS
            timer.join()
            until(lambda: client.get("/readyz").status_code == 200, "it is ready again")
            until(
                lambda: [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == ids[::-1],
                "all jobs are listed",
            )
            with Gateway(settings) as other, other.client() as second:
                id = second.post("/v1/jobs", json=JOB).json()["id"]
                until(
                    lambda: client.get("/v1/jobs").json()["jobs"][0]["id"] == id, "the other's job is listed"
                )
