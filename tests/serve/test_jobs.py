"""Workers of jobs, with a real queue, a real store and a real Triton."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nats.js.errors import NotFoundError

from demo import portrait
from lipserve import AsyncClient, Client, audio
from lipserve.tiers import LIPWARP
from lipserve_jobs.queue import names
from lipserve_jobs.queue.names import JOIN, PLAN, Step
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.records import Job, JobRequest, Quota, Tenant, Tenants
from lipserve_jobs.records.batch import Batch
from lipserve_jobs.store import Keys
from lipserve_jobs.store.keys import batch_rows
from lipserve_jobs.worker.keeper import Keeper
from tests.support.jobs import Desk, desk, run
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.programs import LIPSERVE
from tests.support.segments import shorten
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

SIZE = (128, 128)


@pytest.fixture(scope="module")
def video() -> bytes:
    """Two seconds of a face."""
    return portrait.clip(2.0, SIZE)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, LIPWARP, seconds=1.0)


def _speech(seconds: float) -> bytes:
    time_axis = np.arange(round(seconds * 16000)) / 16000
    loud = np.sin(2 * np.pi * 3 * time_axis) ** 2
    return audio.wav((0.3 * loud * np.sin(2 * np.pi * 180 * time_axis)).astype(np.float32))


def test_a_job_of_one_piece_has_the_result_of_dub(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> bytes:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker():
            job = await at.ended(await at.submit(video, _speech(2.0), name="one"))
            assert (job.state, job.pieces, job.frames, job.frames_done) == ("done", 1, 50, 50)
            assert job.started is not None
            assert job.ended is not None
            assert job.created <= job.started <= job.ended
            assert job.work_seconds > 0
            assert job.result is not None
            result = job.result.key.removeprefix(Keys.of(job).prefix)
            assert await at.objects(job) == ["report.json", "request.json", result]
            facts = json.loads(await at.tools.store.read(Keys.of(job).report) or b"")
            assert (facts["report"]["frames"], len(facts["request_seconds"])) == (50, 1)
            assert (await at.tools.ledger.used("local")).seconds == 2.0
            return await at.result(job)

    with Client(server.url, provenance=False) as client:
        assert run(test()) == client.dub(video, _speech(2.0)).content


@pytest.mark.usefixtures("short_segments")
def test_the_pieces_of_a_film_are_joined_as_dub_joins_them(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> bytes:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker(), at.worker():
            job = await at.ended(await at.submit(video, _speech(3.2)))
            assert (job.pieces, job.missing, job.frames_done) == (3, [], 80)
            await at.emptied()
            assert not [key for key in await at.objects(job) if key.startswith(("pieces/", "sources/"))]
            assert not (tmp_path / "scratch" / job.id).exists()
            return await at.result(job)

    with Client(server.url, provenance=False) as client:
        assert run(test()) == client.dub(video, _speech(3.2)).content


@pytest.mark.usefixtures("short_segments")
def test_cues_are_settled_once_and_made_by_pieces(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    film = portrait.clip(3.0, SIZE)

    async def test() -> bytes:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker():
            speech = await at.file(_speech(0.5))
            cues = [{"start": 0.5, "end": 1, "face": "1", "speech": speech}, {"start": 2, "end": 2.5}]
            job = await at.ended(await at.submit(film, _speech(3.0), cues=cues))
            assert job.pieces > 3
            return await at.result(job)

    cues = [{"start": 0.5, "end": 1, "face": "1", "speech": _speech(0.5)}, {"start": 2, "end": 2.5}]
    with Client(server.url, provenance=False) as client:
        assert run(test()) == client.dub(film, _speech(3.0), cues=cues).content


def test_a_callers_fault_ends_the_job_with_its_code(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker():
            wrong = await at.ended(await at.submit(b"no video", _speech(1.0)))
            nobody = portrait.clip(1.0, SIZE, zoom=20.0)
            faceless = await at.submit(nobody, _speech(1.0), options={"on_no_face": "error"})
            gone = await at.send(JobRequest.of({"video": f"file:{'0' * 32}", "speech": f"file:{'1' * 32}"}))
            faults = [wrong, await at.ended(faceless), await at.ended(gone)]
            assert [job.error and job.error.code for job in faults] == [
                "invalid_video",
                "no_face",
                "invalid_input",
            ]
            await at.emptied()
            good = await at.ended(await at.submit(video, _speech(0.5)))
            assert good.state == "done"

    run(test())


def test_small_files_that_become_huge_are_refused_by_their_size(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    header = struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)  # a PNG of 3.6 gigapixels
    packed = zlib.compress(bytes(180_001), 9)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker():
            job = await at.ended(await at.submit(bomb, _speech(0.5)))
            assert job.error is not None
            assert job.error.code in ("limit_exceeded", "invalid_video")
            assert job.work_seconds == 0
            assert (await at.ended(await at.submit(video, _speech(0.5)))).state == "done"

    run(test())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.usefixtures("short_segments")
def test_a_cancelled_job_is_given_up_and_the_next_one_is_made(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker(places=1):
            job = await at.submit(video, _speech(10.0))
            await at.until(job, lambda now: now.frames_done > 0)
            await at.tools.end(job, "cancelled")
            await at.tools.work.drop(job.id)
            after = await at.ended(await at.submit(video, _speech(0.5)))
            assert after.state == "done"
            assert (await at.now(job)).state == "cancelled"
            assert (await at.now(job)).frames_done < 250
            await at.emptied()

    run(test())


@pytest.mark.usefixtures("short_segments")
def test_a_step_that_always_fails_is_buried_and_holds_nobody_back(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at:
            job = await at.submit(video, _speech(3.2))
            await at.tools.store.write(Keys.of(job).piece(1), b"\xff" * 100)  # unreadable
            async with at.worker():
                other = await at.submit(video, _speech(0.5), tenant="other")
                assert (await at.ended(other)).state == "done"
                found = await at.ended(job)
            assert found.error is not None
            assert (found.state, found.error.code) == ("failed", "internal")
            subject = names.dead_subject("local", job.id, Step("piece", 1))
            letter = json.loads((await at.broker.js.get_last_msg(names.DEAD, subject)).data or b"")
            assert (letter["code"], letter["delivered"]) == ("internal", 3)
            await at.emptied()

    run(test())


def test_a_server_that_is_away_is_nobodys_fault(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}"

    async def test() -> None:
        async with desk(nats.url, tmp_path / "1", nowhere, retries=0) as at:
            async with at.worker():
                job = await at.submit(video, _speech(0.5))
                for _ in range(200):
                    if await at.tools.ends.returns(job.id, PLAN) >= 4:
                        break
                    await asyncio.sleep(0.1)
                assert (await at.now(job)).state == "preparing" or not (await at.now(job)).final
            async with AsyncClient(server.url, provenance=False) as client:
                at.tools = replace(at.tools, client=client)
                async with at.worker():
                    assert (await at.ended(job)).state == "done"

    run(test())


def test_a_worker_that_is_killed_costs_its_step_and_no_more(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    command = (LIPSERVE, "jobs", "worker", "--places", "1", "--no-provenance", "--url", server.url)
    command = (*command, "--nats", nats.url, "--store", tmp_path / "store", "--scratch", tmp_path / "killed")

    async def test() -> bytes:
        async with desk(nats.url, tmp_path, server.url) as at:
            job = await at.submit(video, _speech(21.0))
            with Program(command) as worker:
                half = await at.until(job, lambda now: 0 < now.frames_done < now.frames)
                worker.process.kill()
                worker.ends()
            await asyncio.to_thread(nats.restart)
            async with at.worker():
                job = await at.ended(job)
            assert job.state == "done"
            assert await Tiers(at.broker).known() == await at.tools.client.tiers()
            facts = json.loads(await at.tools.store.read(Keys.of(job).report) or b"")
            assert len(facts["request_seconds"]) == job.pieces > len(half.missing)
            assert 0 <= facts["retries"] <= len(half.missing), "pieces that the killed worker was at"
            return await at.result(job)

    with Client(server.url, provenance=False) as client:
        assert run(test()) == client.dub(video, _speech(21.0)).content


def test_a_tenants_job_does_not_wait_for_all_of_anothers(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at:
            many = [await at.submit(video, _speech(0.3), tenant="many") for _ in range(30)]
            one = await at.submit(video, _speech(0.3), tenant="one")
            async with at.worker(places=1):
                job = await at.ended(one)
                begun = [each for each in many if (await at.now(each)).started is not None]
                assert len(begun) <= 3
                for each in many:
                    await at.tools.work.drop(each.id)
            assert job.state == "done"

    run(test())


def test_a_tenant_has_no_more_in_work_than_its_quota(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    tenants = Tenants(tenants=(Tenant(name="narrow", quota=Quota(segments=1)),))

    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url, tenants) as at, at.worker(places=3):
            jobs = [await at.submit(video, _speech(0.3), tenant="narrow") for _ in range(4)]
            most = 0
            while not all([(await at.now(job)).final for job in jobs]):
                most = max(most, sum((load.running for load in (await at.tools.work.backlog()).values()), 0))
                await asyncio.sleep(0.01)
            assert most == 1

    run(test())


def test_jobs_measure_too_and_a_sheet_is_drawn_when_it_is_asked_for(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at, at.worker():
            faces = await at.ended(await at.submit(video, kind="faces"))
            estimate = await at.ended(await at.submit(video, _speech(1.0), kind="estimate"))
            assert len(json.loads(await at.result(faces))["people"]) == 1
            assert "sheet.png" in await at.objects(faces)
            assert json.loads(await at.result(estimate))["frames"] == 25
            job = await at.ended(await at.submit(video, _speech(0.5)))
            await at.tools.work.put(job, names.SHEET)
            async with asyncio.timeout(60):
                while (sheet := await at.tools.store.read(Keys.of(job).sheet)) is None:
                    await asyncio.sleep(0.02)
            assert sheet.startswith(b"\x89PNG")

    run(test())


def test_the_rows_of_a_batch_become_jobs_once(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at:
            film, speech = await at.file(video), await at.file(_speech(0.3))
            rows = [json.dumps({"video": film, "speech": speech, "name": f"row {i}"}) for i in range(3)]
            batch = Batch.new("local", len(rows))
            await at.tools.store.write(batch_rows("local", batch.id), "\n".join(rows).encode())
            await at.tools.batches.create(batch)
            for mark in "ab":  # twice: as if the first worker had died
                await at.tools.work.put_as("local", "normal", batch.id, names.EXPAND, mark)
            async with at.worker():
                async with asyncio.timeout(120):
                    while len(jobs := await _of_batch(at, batch.id)) < 3 or not all(j.final for j in jobs):
                        await asyncio.sleep(0.05)
            assert sorted(job.name for job in jobs) == ["row 0", "row 1", "row 2"]
            assert {job.state for job in jobs} == {"done"}

    run(test())


async def _of_batch(at: Desk, batch: str) -> list[Job]:
    found = []
    async for entry in at.tools.journal.watch():
        if entry is None:
            break
        if entry[2] is not None and entry[2].batch == batch:
            found.append(entry[2])
    return found


def test_the_keeper_mends_lost_steps_and_removes_what_has_expired(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at:
            keeper = Keeper(at.broker, at.tools)
            lost = await at.submit(video, _speech(0.3))
            await at.tools.work.drop(lost.id)  # as if a gateway had died before it put the step
            await at.tools.journal.change(
                "local", lost.id, lambda now: now.model_copy(update={"touched": 1.0})
            )
            await keeper.round(strays=False)
            assert await at.tools.work.waiting_for(lost.id) == {PLAN}
            async with at.worker():
                job = await at.ended(lost)
            assert job.state == "done"
            await at.tools.journal.change(
                "local", job.id, lambda now: now.model_copy(update={"expires": 1.0})
            )
            await keeper.round(strays=False)
            assert await at.tools.journal.get("local", job.id) is None
            assert [found.key async for found in at.tools.store.list("jobs/")] == []
            assert [found.key async for found in at.tools.store.list("files/")] == []

    run(test())


def test_a_result_that_comes_too_late_is_removed(
    server: RunningServer, nats: NatsServer, video: bytes, tmp_path: Path
) -> None:
    async def test() -> None:
        async with desk(nats.url, tmp_path, server.url) as at:
            job = await at.submit(video, _speech(0.3))
            async with at.worker():
                await at.ended(job)
                first = await at.objects(job)
                # Another worker joins it again, as one that was cut off from the queue would.
                await at.tools.work.put(job, JOIN)
                await at.emptied()
            assert await at.objects(job) == first
            with pytest.raises(NotFoundError):
                await at.broker.js.get_last_msg(names.DEAD, f"lipserve.dead.local.{job.id}.>")

    run(test())
