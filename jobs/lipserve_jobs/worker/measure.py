"""Jobs that measure: who is in a video, how good it is, how long a dub of it would take."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from lipserve.show import contact_sheet
from lipserve_client._cancel import in_thread
from lipserve_jobs.queue.journal import Change
from lipserve_jobs.records import Job
from lipserve_jobs.store import Keys
from lipserve_jobs.worker.finish import deliver
from lipserve_jobs.worker.tools import Tools
from lipserve_jobs.worker.workshop import Bench

_TELL_SECONDS = 1.0


async def measure(tools: Tools, job: Job) -> None:
    """Measure, and end the job; its result is JSON."""
    began = time.time()
    job = await tools.change(
        job, lambda now: now.changed(state="making", started=now.started or began, pieces=1)
    )
    async with tools.workshop.at(job) as bench:
        told = await _measured(tools, job, bench)
        path = bench.folder / f"result-{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(told, indent=2))
        facts = {"seconds": round(time.time() - began, 3)}
        fields: dict[str, Any] = {"made": "1", "work_seconds": round(time.time() - began, 3)}
        await deliver(tools, job, bench, path, facts, "application/json", **fields)
    tools.workshop.drop(job.id)


async def _measured(tools: Tools, job: Job, bench: Bench) -> dict[str, Any]:
    client, request = tools.client, bench.request
    video, speech = bench.files["video"], bench.file(request.speech)
    if request.kind == "estimate":
        assert speech is not None  # a request without one is refused
        price = tools.tenant(job.tenant).price_per_hour
        options = request.checked_options()
        found = await client.estimate(video, speech, options, tier=request.tier, price_per_hour=price)
        return found.to_json()
    tell = _progress(tools, job)
    if request.kind == "check":
        return (await client.check(video, speech, on_progress=tell)).to_json()
    people = await client.faces(video, on_progress=tell)
    if people.people:
        await tools.store.write(Keys.of(job).sheet, people.sheet)
    return {**people.to_json(), "check": people.check.to_json()}


def _progress(tools: Tools, job: Job) -> Callable[[int, int], None]:
    """Return what writes progress into the record, at most once a second."""
    last = 0.0
    writing: set[asyncio.Task[Any]] = set()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last < _TELL_SECONDS and done < total:
            return
        last = time.monotonic()

        def change(now: Job) -> Job | None:
            over = now.final or done < now.frames_done
            return None if over else now.changed(frames=total, frames_done=done)

        known: Change = change
        task = asyncio.ensure_future(tools.journal.change(job.tenant, job.id, known))
        writing.add(task)
        task.add_done_callback(writing.discard)

    return tell


async def sheet(tools: Tools, job: Job) -> None:
    """Draw the contact sheet of a job that is done."""
    keys = Keys.of(job)
    if job.kind != "dub" or job.result is None or await tools.store.size(keys.sheet) is not None:
        return
    async with tools.workshop.at(job) as bench:
        result = bench.folder / "sheet-result.mp4"
        await tools.store.fetch(job.result.key, result)
        drawn = bench.folder / f"sheet-{secrets.token_hex(4)}.png"
        mode = bench.request.checked_options().on_length_mismatch
        rows = {"result": result}
        await in_thread(contact_sheet.write, drawn, bench.files["video"], rows, mode, job.name)
        await tools.store.write(keys.sheet, drawn.read_bytes())
        for path in (drawn, result):
            path.unlink(missing_ok=True)
