"""The end of a dub: pieces joined, signed, kept, and told."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lipserve.errors import StorageError
from lipserve.report import Report
from lipserve_client._cancel import in_thread
from lipserve_client._making import Answer
from lipserve_client._output import Output
from lipserve_jobs.records import Job, Result
from lipserve_jobs.store import Keys
from lipserve_jobs.worker.pieces import Piece
from lipserve_jobs.worker.tools import JobEndedError, Tools
from lipserve_jobs.worker.workshop import Bench


async def finish(
    tools: Tools, job: Job, bench: Bench, made: AsyncIterator[Piece], begun: Answer | None
) -> None:
    """Join pieces in order as they come, and end the job."""
    path = bench.folder / f"result-{secrets.token_hex(4)}.mp4"
    try:
        report, seconds, retries = await _joined(tools, bench, path, made, begun)
        facts = {
            "report": report.model_dump(mode="json"),
            "seconds": round(time.time() - (job.started or job.created), 3),
            "request_seconds": [round(each, 3) for each in seconds],
            "prepare_seconds": bench.plan.prepare_seconds if bench.plan else 0.0,
            "retries": retries + (bench.plan.retries if bench.plan else 0),
        }
        fields: dict[str, Any] = {
            "seconds": report.seconds,
            "frames_done": job.frames,
            "made": f"{(1 << job.pieces) - 1:x}",
            "work_seconds": round(sum(seconds), 3),
        }
        await deliver(tools, job, bench, path, facts, **fields)
    finally:
        path.unlink(missing_ok=True)
    tools.workshop.drop(job.id)


async def _joined(
    tools: Tools, bench: Bench, path: Path, made: AsyncIterator[Piece], begun: Answer | None
) -> tuple[Report, list[float], int]:
    making, wanted = bench.making, bench.wanted
    assert making is not None
    assert wanted is not None
    bench.making = None  # it has begun to count reports: another try begins with a new one
    spent: list[float] = []
    retries = 0
    with Output(path) as output:
        async with making.joining(output, begun) as add:
            async for piece in made:
                await add(len(spent), piece.answer)
                spent.append(piece.seconds)
                retries += piece.retries
        making.check_faces()
        report = await tools.piecewise.signed(output, making, wanted)
        await in_thread(output.commit)
    return report, spent, retries


async def deliver(
    tools: Tools,
    job: Job,
    bench: Bench,
    path: Path,
    facts: dict[str, Any],
    media_type: str = "video/mp4",
    **fields: object,
) -> None:
    """Keep a result that lies at `path`, put it where the request wants it, and end the job."""
    keys = Keys.of(job)
    key = f"{keys.results}{job.round}-{secrets.token_hex(8)}{path.suffix}"
    size, digest = await tools.store.write_file(key, path)
    try:
        if bench.request.result is not None:
            await tools.outside.put(job.tenant, bench.request.result, path)
        await tools.store.write(keys.report, json.dumps(facts).encode())
        result = Result(key=key, size=size, sha256=digest, media_type=media_type)
        job = await tools.end(job, "done", result=result, **fields)
    except JobEndedError:
        with suppress(StorageError):
            await tools.store.remove(key)
        raise
    await tools.ledger.add(job)
    if job.pieces > 1:  # else nothing but the result was kept
        await tools.sweep(job)
