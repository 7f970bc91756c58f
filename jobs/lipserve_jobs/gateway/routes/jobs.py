"""Jobs: send, list, look at, cancel, try again, erase."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lipserve.errors import LipServeError, OptionsError
from lipserve_jobs.gateway.audit import audit
from lipserve_jobs.gateway.auth import Caller, Known
from lipserve_jobs.gateway.bodies import decoded
from lipserve_jobs.gateway.forms import Forms, is_form, settle_cues
from lipserve_jobs.gateway.kept import Kept
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.routes.common import (
    MAX_WAIT,
    PROBLEMS,
    answered,
    found_job,
    service_of,
    view_of,
    wait_of,
    waited,
)
from lipserve_jobs.records import JobRequest, Kind
from lipserve_jobs.records.job import State
from lipserve_jobs.records.view import JobView

router = APIRouter(prefix="/v1", tags=["jobs"], responses=PROBLEMS)
MOST_LISTED = 200
_SENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "files as parts, and the rest of the job as JSON in `request`",
                    "properties": {
                        **{
                            name: {"type": "string", "format": "binary"}
                            for name in ("video", "speech", "source", "background", "cue-1")
                        },
                        "request": {"$ref": "#/components/schemas/JobRequest"},
                    },
                }
            },
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": 255},
            "description": "the same key and request within a day make one job",
        },
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": f"wait=SECONDS (at most {MAX_WAIT}): answer when the job has ended",
        },
    ],
}


async def submitted(request: Request, caller: Caller, wait: int, **fixed: Any) -> Response:
    """Take a job in; `fixed`: fields that the route decides."""
    service = service_of(request)
    forms, form = Forms(service.intake, service.shelf), None
    if is_form(request):
        await service.quotas.check_jobs(caller.tenant)  # before anything is taken in
        form = await forms.read(request, caller.tenant)
        fields = form.fields
    else:
        fields = await decoded(request)
    try:
        wanted = JobRequest.of({**settle_cues(fields), **fixed})
        digest = await service.submission.digest(caller.tenant, wanted.model_dump_json(exclude_unset=True))
        key = request.headers.get("idempotency-key")
        job, new = await service.submission.make(caller.tenant, wanted, key, digest)
    except (LipServeError, Problem):  # there is no job
        if form is not None:
            await forms.discard(caller.tenant, form)
        raise
    if form is not None and not new:
        await forms.discard(caller.tenant, form)
    audit(request, caller, "job.create" if new else "job.create_again", job.id, 201, digest)
    job = await waited(request, job, wait)
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if not new:
        headers["Idempotent-Replayed"] = "true"
    if wait:
        headers["Preference-Applied"] = f"wait={wait}"
    return answered(job, caller, 201, **headers)


@router.post("/jobs", status_code=201, response_model=JobView, openapi_extra=_SENT)
async def create_job(request: Request, caller: Known) -> Response:
    """Send a job, as JSON or with its files as a form."""
    return await submitted(request, caller, wait_of(request))


def _add_short(kind: Kind, text: str) -> None:
    @router.post(
        f"/{kind}", status_code=201, response_model=JobView, openapi_extra=_SENT, name=kind, description=text
    )
    async def measure(request: Request, caller: Known) -> Response:
        return await submitted(request, caller, wait_of(request) or MAX_WAIT, kind=kind)


_add_short("estimate", "Tell how long a dub would take: a job of this kind, waited for.")
_add_short("faces", "Tell who is in a video: a job of this kind, waited for.")
_add_short("check", "Measure how good a video's lips are: a job of this kind, waited for.")


@router.get("/jobs")
async def list_jobs(
    request: Request,
    caller: Known,
    state: Annotated[str | None, Query(description="several with commas")] = None,
    kind: Annotated[str | None, Query(description="several with commas")] = None,
    batch: str | None = None,
    limit: str = "50",
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """List jobs, newest first."""
    states, kinds = _chosen("state", state, get_args(State)), _chosen("kind", kind, get_args(Kind))
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MOST_LISTED:
        raise OptionsError(f"limit is from 1 to {MOST_LISTED}.", "Correct it.")
    mirror, tenant = service_of(request).mirror, caller.tenant.name

    def wanted(job: Kept) -> bool:
        return job.state in states and job.kind in kinds and batch in (None, job.batch)

    jobs = list(islice(filter(wanted, mirror.newest(tenant, after)), int(limit) + 1))
    shown, more = jobs[: int(limit)], len(jobs) > int(limit)
    body = ",".join(view_of(kept.job, caller) for kept in shown)
    following = json.dumps(shown[-1].id if more else None)
    counts = json.dumps({name: mirror.states(tenant)[name] for name in get_args(State)})
    text = f'{{"jobs":[{body}],"next":{following},"counts":{counts}}}'
    return Response(text, media_type="application/json")


@router.get("/jobs/{id}", response_model=JobView)
async def get_job(request: Request, caller: Known, id: str) -> Response:
    """Tell how far a job is; with Prefer: wait=SECONDS when it has ended."""
    job = await found_job(request, caller, id)
    return answered(await waited(request, job, wait_of(request)), caller)


@router.delete("/jobs/{id}", response_model=JobView)
async def delete_job(request: Request, caller: Known, id: str, erase: bool = False) -> Response:
    """Cancel a job at once; with erase=true remove it and all its traces."""
    job = await found_job(request, caller, id)
    control = service_of(request).control
    if erase:
        await control.erase(job.tenant, job.id)
        audit(request, caller, "job.erase", job.id, 204)
        return Response(status_code=204)
    job = await control.cancel(job.tenant, job.id)
    audit(request, caller, "job.cancel", job.id, 200)
    return answered(job, caller)


@router.post("/jobs/{id}/retry", response_model=JobView)
async def retry_job(request: Request, caller: Known, id: str) -> Response:
    """Have a job tried again that has failed or was cancelled; pieces that are made are kept."""
    job = await found_job(request, caller, id)
    await service_of(request).offer.check(job.kind, job.tier)
    job = await service_of(request).control.retry(caller.tenant, job.id)
    audit(request, caller, "job.retry", job.id, 200)
    return answered(job, caller)


def _chosen(name: str, text: str | None, known: tuple[str, ...]) -> frozenset[str]:
    if text is None:
        return frozenset(known)
    found = frozenset(text.split(","))
    if not found <= frozenset(known):
        raise OptionsError(f"{name} is one or more of {', '.join(known)}.", "Correct it.")
    return found
