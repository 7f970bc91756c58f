"""What was made, and what it was made of."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lipserve_jobs.gateway.auth import Known
from lipserve_jobs.gateway.delivery import Content, delivered, media_type_of
from lipserve_jobs.gateway.problems import RETRY_SECONDS, Problem, not_found
from lipserve_jobs.gateway.routes.common import PROBLEMS, found_job, service_of
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.gateway.shelf import end_of
from lipserve_jobs.queue.names import SHEET
from lipserve_jobs.records import Job, JobRequest
from lipserve_jobs.records.request import FILE
from lipserve_jobs.store import Keys, Store

router = APIRouter(prefix="/v1/jobs/{id}", tags=["results"], responses=PROBLEMS)
SHEET_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_PNG = b"\x89PNG"


@router.head("/result", include_in_schema=False)
@router.get("/result", response_class=Response)
async def result(request: Request, caller: Known, id: str, download: bool = False) -> Response:
    """Give the result: a film, or JSON; in ranges where that is asked for."""
    job = await found_job(request, caller, id)
    made = _done(job).result
    if made is None:
        raise not_found("result")
    store = service_of(request).store
    suffix = ".mp4" if made.media_type == "video/mp4" else ".json"
    name = f"{PurePosixPath(job.name or job.id).stem or job.id}{suffix}"
    content = Content(made.size, made.media_type, made.sha256, _of(store, made.key), name)
    return delivered(request, content, download)


@router.get("/report", response_class=Response)
async def report(request: Request, caller: Known, id: str) -> Response:
    """Give the report of a job that is done: JSON."""
    job = _done(await found_job(request, caller, id))
    text = await service_of(request).store.read(Keys.of(job).report)
    if text is None:
        raise not_found("report")
    return Response(text, media_type="application/json")


@router.get("/sheet", response_class=Response)
async def sheet(request: Request, caller: Known, id: str) -> Response:
    """Give the contact sheet of a job that is done; it is drawn when it is asked for first."""
    job = _done(await found_job(request, caller, id))
    if job.kind not in ("dub", "faces"):
        raise not_found("sheet")
    request.state.waits = True
    picture = await _drawn(service_of(request), job)
    if picture is None:
        raise Problem(
            503,
            "unavailable",
            "The sheet is not drawn yet.",
            "Try again later.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    media_type = "image/png" if picture.startswith(_PNG) else "image/jpeg"
    return Response(picture, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})


async def _drawn(service: Service, job: Job) -> bytes | None:
    key = Keys.of(job).sheet
    picture = await service.store.read(key)
    if picture is not None or job.kind != "dub":
        return picture
    await service.work.put(job, SHEET, f"-{time.time():.0f}")
    end = time.monotonic() + SHEET_SECONDS
    while picture is None and time.monotonic() < end and not service.stopping.is_set():
        await asyncio.sleep(_LOOK_SECONDS)
        picture = await service.store.read(key)
    return picture


@router.head("/inputs/{name}", include_in_schema=False)
@router.get("/inputs/{name}", response_class=Response)
async def input_file(request: Request, caller: Known, id: str, name: str) -> Response:
    """Give a file of a job: video, speech, source, background, cue-1 and so on."""
    job = await found_job(request, caller, id)
    service = service_of(request)
    text = await service.store.read(Keys.of(job).request)
    names = {} if text is None else JobRequest.model_validate(json.loads(text)).references
    reference = names.get(name)
    if reference is None:
        raise not_found("file")
    if reference.startswith(FILE):
        return await _sent(request, service, job, reference.removeprefix(FILE))
    key = Keys.of(job).input(name)
    size = await service.store.size(key)
    if size is None:
        raise Problem(409, "not_ready", "The file has not been fetched yet.", "Try again later.")
    content = Content(size, "application/octet-stream", f"{job.id}-{name}", _of(service.store, key))
    return delivered(request, content)


async def _sent(request: Request, service: Service, job: Job, id: str) -> Response:
    found = await service.shelf.find(job.tenant, id)
    if found is None:
        raise not_found("file")
    meta, parts = found

    def stream(start: int, end: int) -> AsyncIterator[bytes]:
        return service.shelf.stream(job.tenant, id, parts, start, end)

    return delivered(request, Content(end_of(parts), media_type_of(meta.media_type), id, stream))


def _of(store: Store, key: str):  # type: ignore[no-untyped-def]
    return lambda start, end: store.stream(key, start, end)


def _done(job: Job) -> Job:
    """Return a job that is done; Problem 409 where it is not."""
    if job.state == "done":
        return job
    detail = f"The job is {job.state}."
    if job.error is not None:
        detail += f" {job.error.message}"
    remedy = job.error.remedy if job.error else "" if job.final else "Wait until it is done."
    raise Problem(409, "not_ready", detail, remedy, state=job.state)
