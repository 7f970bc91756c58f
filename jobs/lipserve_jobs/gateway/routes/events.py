"""Server-sent events: every change of a job, or of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from lipserve_jobs.gateway.auth import Caller, Known
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.routes.common import (
    PROBLEMS,
    found_job,
    service_of,
    unless_stopping,
    view_of,
)
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.records import Job

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)
HEARTBEAT_SECONDS = 15.0
_MOST_STREAMS = 2000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/jobs/{id}/events", response_class=StreamingResponse)
async def job_events(request: Request, caller: Known, id: str) -> StreamingResponse:
    """Tell every change of a job (`event: job`), and end after its last."""
    job = await found_job(request, caller, id)
    return _stream(request, caller, job)


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, caller: Known) -> StreamingResponse:
    """Tell every change of all jobs (`event: job`, `event: erased`)."""
    return _stream(request, caller, None)


def _stream(request: Request, caller: Caller, job: Job | None) -> StreamingResponse:
    service = service_of(request)
    if service.open_streams >= _MOST_STREAMS:
        raise Problem(503, "unavailable", "Too many streams of events are open.", "Try again later.")
    request.state.waits = True
    told = _told(service, caller, job)
    return StreamingResponse(told, media_type="text/event-stream", headers=_HEADERS)


async def _told(service: Service, caller: Caller, job: Job | None) -> AsyncIterator[str]:
    meters, tenant = service.meters, caller.tenant.name
    service.open_streams += 1
    meters.event_streams.inc()
    try:
        with service.mirror.listening(tenant, None if job is None else job.id) as listener:
            yield "retry: 2000\n\n"
            if job is not None:  # as it is now: what was told before a lost connection does not matter
                job = await service.journal.get(tenant, job.id) or job
                yield _event(job, caller)
                if job.final:
                    return
            while not service.stopping.is_set():
                news = await unless_stopping(service, listener.news(HEARTBEAT_SECONDS)) or {}
                for id, now in news.items():
                    yield f"event: erased\ndata: {id}\n\n" if now is None else _event(now, caller)
                    if job is not None and (now is None or now.final):
                        return
                if not news:
                    yield ": still here\n\n"
    finally:
        service.open_streams -= 1
        meters.event_streams.dec()


def _event(job: Job, caller: Caller) -> str:
    return f"event: job\nid: {job.touched:.3f}\ndata: {view_of(job, caller)}\n\n"
