"""Batches: a list of jobs."""

from __future__ import annotations

import asyncio
from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from lipserve.errors import InputError
from lipserve.text import printable
from lipserve_jobs.gateway.audit import audit
from lipserve_jobs.gateway.auth import Caller, Known
from lipserve_jobs.gateway.bodies import whole
from lipserve_jobs.gateway.problems import Problem, not_found
from lipserve_jobs.gateway.routes.common import PROBLEMS, service_of
from lipserve_jobs.gateway.rows import requests_of
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.queue.names import EXPAND
from lipserve_jobs.queue.once import Claim
from lipserve_jobs.records import JobRequest, Tenant
from lipserve_jobs.records.batch import Batch
from lipserve_jobs.records.job import State
from lipserve_jobs.records.request import Priority
from lipserve_jobs.records.view import stamp
from lipserve_jobs.store.keys import batch_rows

router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=PROBLEMS)
_MOST_BYTES = 32 << 20
_KINDS = {
    "text/csv": True,
    "application/jsonl": False,
    "application/x-ndjson": False,
    "application/x-jsonlines": False,
}


class BatchView(BaseModel):
    """A batch: `counts` are its jobs by state, `waiting` its rows that have no job yet."""

    id: str
    name: str
    state: str
    rows: int
    waiting: int
    counts: dict[str, int]
    created: str
    jobs: str

    @classmethod
    def of(cls, batch: Batch, service: Service) -> BatchView:
        counts = service.mirror.batch(batch.tenant, batch.id)
        made = sum(counts.values()) + batch.gone
        waiting = 0 if batch.state == "cancelled" else max(0, batch.rows - made)
        return cls(
            id=batch.id,
            name=batch.name,
            state=batch.state,
            rows=batch.rows,
            waiting=waiting,
            counts={state: counts[state] for state in get_args(State)},
            created=stamp(batch.created),
            jobs=f"/v1/jobs?batch={batch.id}",
        )


@router.post(
    "",
    status_code=201,
    response_model=BatchView,
    openapi_extra={
        "requestBody": {
            "content": {kind: {"schema": {"type": "string"}} for kind in _KINDS},
            "required": True,
        }
    },
)
async def create_batch(
    request: Request,
    caller: Known,
    name: Annotated[str, Query(max_length=200)] = "",
    priority: Priority = "normal",
) -> Response:
    """Send a list of jobs: CSV with a head, or a JSON object in each line; at most 10,000.

    A row that is wrong is told with its line, and then nothing of the list is taken.
    """
    service, tenant = service_of(request), caller.tenant
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise Problem(415, "invalid_input", f"The media type is none of {', '.join(_KINDS)}.")
    text = await whole(request, _MOST_BYTES)
    wanted = await asyncio.to_thread(requests_of, text, _KINDS[kind])
    digest = await service.submission.digest(tenant, text.decode("utf-8-sig"))
    batch = Batch.new(tenant.name, len(wanted), printable(name), priority)
    key = request.headers.get("idempotency-key")
    if key is not None:
        id = await service.submission.claimed(tenant, key, Claim(digest=digest, id=batch.id))
        known = await service.batches.get(tenant.name, id)
        if known is not None:
            if known.waits:  # who took it first may have died before it was queued
                await service.work.put_as(tenant.name, known.priority, id, EXPAND, "1")
            return _answered(known, service, 201)
        batch = batch.model_copy(update={"id": id})
    await service.quotas.check_jobs(tenant, len(wanted))
    await _check_rows(service, tenant, wanted)
    rows = "\n".join(each.model_dump_json(exclude_unset=True) for each in wanted)
    await service.store.write(batch_rows(tenant.name, batch.id), rows.encode())
    await service.batches.create(batch)
    await service.work.put_as(tenant.name, priority, batch.id, EXPAND, "1")
    audit(request, caller, "batch.create", batch.id, 201, digest)
    return _answered(batch, service, 201)


async def _check_rows(service: Service, tenant: Tenant, wanted: list[JobRequest]) -> None:
    """Raise InputError, with the number of the row, where a file is not there or an address is refused."""
    known: dict[str, int] = {}
    for row, each in enumerate(wanted, 1):
        try:
            await service.submission.check(tenant, each, known)
        except InputError as error:
            raise type(error)(f"Row {row}: {error.message}", error.remedy) from error


@router.get("/{id}", response_model=BatchView)
async def get_batch(request: Request, caller: Known, id: str) -> Response:
    """Tell how far the jobs of a batch are."""
    return _answered(await _found(request, caller, id), service_of(request))


@router.delete("/{id}", response_model=BatchView)
async def delete_batch(request: Request, caller: Known, id: str, erase: bool = False) -> Response:
    """Cancel all jobs of a batch that have not ended; with erase=true remove it and all traces of them."""
    await _found(request, caller, id)
    service, tenant = service_of(request), caller.tenant.name
    if erase:
        await service.control.erase_batch(tenant, id)
        audit(request, caller, "batch.erase", id, 204)
        return Response(status_code=204)
    batch = await service.control.cancel_batch(tenant, id)
    audit(request, caller, "batch.cancel", id, 200)
    return _answered(batch, service)


async def _found(request: Request, caller: Caller, id: str) -> Batch:
    batch = None
    if len(id) == 32 and id.isalnum() and id.isascii():
        batch = await service_of(request).batches.get(caller.tenant.name, id)
    if batch is None:
        raise not_found("batch")
    return batch


def _answered(batch: Batch, service: Service, status: int = 200) -> Response:
    text = BatchView.of(batch, service).model_dump_json()
    headers = {"Location": f"/v1/batches/{batch.id}"} if status == 201 else {}
    return Response(text, status, headers, media_type="application/json")
