"""Changes of jobs as they happen: server-sent events, and where these do not come, questions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from lipserve.errors import ConnectError, LipServeError
from lipserve_client._jobs.http import QUIET_SECONDS, Pauses, Session, decoded
from lipserve_client._jobs.records import FINAL, Batch, Job, batch_of, job_of, page_of
from lipserve_client._making import OnProgress

ASK_SECONDS = 2.0
"""So often a batch is asked about, and a job where events do not come."""
_PATIENCE = 40  # tries, five minutes or so, for which a gateway may be away while somebody waits
_TOLD = "job"  # the event that tells of a job; another one that it is erased
_LISTED = 200  # jobs of a page
_JOBS_A_PAUSE = 2000  # so many more jobs of a batch make the pauses longer once
_SILENT = 2  # streams that bring nothing: something between us and the gateway holds them back


async def changes(session: Session, id: str) -> AsyncGenerator[Job]:
    """Yield a job, then each change of it, the end last. The gateway may be away meanwhile.

    Raises:
        InputError: there is no such job. ConnectError: the gateway stays away.
    """
    path, last, silent = f"/v1/jobs/{id}", None, 0
    pauses = Pauses(session.gateway.retries)
    while True:
        try:
            job = job_of(decoded((await session.once("GET", path)).content))
            if job != last:
                last = job
                yield job
            if job.final:
                return
            pauses = Pauses(_PATIENCE)
            if silent == _SILENT:
                await asyncio.sleep(_ask_seconds())
                continue
            silent += 1
            async with aclosing(stream(session, f"{path}/events")) as told:
                async for job in told:
                    silent = 0
                    if job != last:
                        last = job
                        yield job
                    if job.final:
                        return
            await asyncio.sleep(random.uniform(0.1, 0.3))  # who ended the stream may do so again
        except LipServeError as error:
            pause = pauses.after(error, session.gateway.answered)
            if pause is None:
                raise
            await asyncio.sleep(pause)


async def batch_ended(session: Session, id: str, on_progress: OnProgress | None) -> Batch:
    """Ask about a batch until every job of it has ended, and return it; errors as those of `changes`."""
    pauses = Pauses(session.gateway.retries)
    while True:
        try:
            batch = batch_of(decoded((await session.once("GET", f"/v1/batches/{id}")).content))
        except LipServeError as error:
            pause = pauses.after(error, session.gateway.answered)
            if pause is None:
                raise
            await asyncio.sleep(pause)
            continue
        pauses = Pauses(_PATIENCE)
        if on_progress is not None:
            on_progress(batch.ended, batch.rows)
        if batch.final:
            return batch
        await asyncio.sleep(_ask_seconds())


async def as_ended(session: Session, id: str) -> AsyncGenerator[Job]:
    """Yield each job of a batch once it has ended, however; errors as those of `changes`."""
    told: set[str] = set()
    listed = -1
    pauses = Pauses(session.gateway.retries)
    while True:
        try:
            batch = batch_of(decoded((await session.once("GET", f"/v1/batches/{id}")).content))
            over = batch.final
            found = await _ended_of(session, id) if over or batch.ended != listed else []
        except LipServeError as error:
            pause = pauses.after(error, session.gateway.answered)
            if pause is None:
                raise
            await asyncio.sleep(pause)
            continue
        pauses = Pauses(_PATIENCE)
        for job in found:
            if job.id not in told:
                told.add(job.id)
                yield job
        if over and len(found) >= batch.ended:  # another gateway may have heard of fewer ends
            return
        listed = len(found) if found else listed
        await asyncio.sleep(_ask_seconds() * (1 + len(told) / _JOBS_A_PAUSE))


async def _ended_of(session: Session, batch: str) -> list[Job]:
    """Return the jobs of a batch that have ended, the oldest first."""
    asked = {"batch": batch, "state": ",".join(sorted(FINAL)), "limit": str(_LISTED)}
    found: list[Job] = []
    after: str | None = ""
    while after is not None:
        params = {**asked, **({"after": after} if after else {})}
        page, after = page_of(decoded((await session.once("GET", "/v1/jobs", params=params)).content))
        found += page
    return found[::-1]


async def stream(session: Session, path: str) -> AsyncGenerator[Job]:
    """Yield the jobs of one stream of events, until it ends or breaks.

    Raises:
        ConnectError: nothing has come for a minute, not even a sign of life; or it was cut off.
    """
    timeout = httpx.Timeout(QUIET_SECONDS, connect=5.0)
    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    async with session.opened("GET", path, headers=headers, timeout=timeout) as response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise ConnectError("The gateway sends no events.", "Is something between it and us?")
        event = ""
        data: list[str] = []
        async for line in response.aiter_lines():
            name, _, text = line.partition(":")
            if name == "event":
                event = text.strip()
            elif name == "data":
                data.append(text.removeprefix(" "))
            elif not line:
                if event == _TOLD and data:
                    yield job_of(decoded("\n".join(data)))
                event, data = "", []


def _ask_seconds() -> float:
    return ASK_SECONDS * random.uniform(0.75, 1.25)
