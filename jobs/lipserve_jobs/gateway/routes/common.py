"""What several routes share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response

from lipserve_jobs.gateway.auth import Caller
from lipserve_jobs.gateway.problems import ProblemView, not_found
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.records import Job
from lipserve_jobs.records.view import JobView

MAX_WAIT = 60
T = TypeVar("T")
_ID = re.compile(r"[0-9a-f]{32}")
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,4})(?:$|[,;\s])")

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemView, "content": {"application/problem+json": {}}},
    "5XX": {"model": ProblemView, "content": {"application/problem+json": {}}},
}


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def found_job(request: Request, caller: Caller, id: str) -> Job:
    """Return a job of the caller; Problem 404 where there is none."""
    job = None
    if _ID.fullmatch(id):
        job = await service_of(request).journal.get(caller.tenant.name, id)
    if job is None:
        raise not_found("job")
    return job


def view_of(job: Job, caller: Caller) -> str:
    return JobView.of(job, caller.tenant.price_per_hour).model_dump_json()


def answered(job: Job, caller: Caller, status: int = 200, **headers: str) -> Response:
    """Return a job as the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(view_of(job, caller), status, named, media_type="application/json")


def wait_of(request: Request) -> int:
    """Return how many seconds the caller would wait for the end of a job, by the header Prefer."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(MAX_WAIT, int(found[1])) if found else 0


async def unless_stopping(service: Service, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what work returns, or None as soon as the gateway is to end."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(service.stopping.wait())
    either: set[asyncio.Task[Any]] = {doing, stopping}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        stopping.cancel()


async def waited(request: Request, job: Job, seconds: int) -> Job:
    """Return a job as it is when it has ended, or when the time is over."""
    if not seconds or job.final:
        return job
    request.state.waits = True
    service = service_of(request)
    await unless_stopping(service, service.mirror.ended(job, seconds))
    return await service.journal.get(job.tenant, job.id) or job
