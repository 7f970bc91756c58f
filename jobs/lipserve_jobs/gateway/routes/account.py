"""Who the caller is, what it has used, and the cookie of the page."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from lipserve.contracts import TierName
from lipserve_jobs.gateway.audit import audit
from lipserve_jobs.gateway.auth import COOKIE, Caller, Known
from lipserve_jobs.gateway.bodies import decoded
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.routes.common import PROBLEMS, service_of
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.records import Quota
from lipserve_jobs.records.view import cost

router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS)
_MOST_KEY = 16_384


class MeView(BaseModel):
    """Who calls, and what may be asked for; `tiers`: null where no worker has told which there are."""

    tenant: str
    who: str
    open_to_all: bool
    tiers: tuple[TierName, ...] | None


class UsageView(BaseModel):
    """What a tenant has used this month (UTC), and may use.

    Attributes:
        jobs: done. seconds, bytes: of results. work_seconds: that requests took.
        bytes_kept: now. jobs_unfinished: now.
    """

    month: str
    jobs: int
    seconds: float
    bytes: int
    work_seconds: float
    cost: float | None
    bytes_kept: int
    jobs_unfinished: int
    quota: Quota


@router.get("/me", response_model=MeView)
async def me(request: Request, caller: Known) -> MeView:
    """Tell who calls, and which tiers there are."""
    return await _view(service_of(request), caller)


async def _view(service: Service, caller: Caller) -> MeView:
    return MeView(
        tenant=caller.tenant.name,
        who=caller.who,
        open_to_all=service.settings.open_to_all,
        tiers=await service.offer.tiers(),
    )


@router.get("/usage", response_model=UsageView)
async def usage(request: Request, caller: Known) -> UsageView:
    """Tell what was used this month, and what may be used."""
    service, tenant = service_of(request), caller.tenant
    used = await service.ledger.used(tenant.name)
    return UsageView(
        month=time.strftime("%Y-%m", time.gmtime()),
        **used.model_dump(),
        cost=cost(used.work_seconds, tenant.price_per_hour),
        bytes_kept=await service.shelf.held(tenant.name),
        jobs_unfinished=service.quotas.unfinished(tenant.name),
        quota=tenant.quota,
    )


@router.post("/session", response_model=MeView)
async def open_session(request: Request) -> Response:
    """Give the page a cookie for an API key or a token: `{"key": ...}`."""
    doorkeeper, settings = service_of(request).doorkeeper, service_of(request).settings
    if settings.open_to_all:
        caller = await doorkeeper.who(request)
    else:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "forbidden", "The request comes from a page of another origin.")
        key = (await decoded(request)).get("key")
        if not isinstance(key, str) or not 0 < len(key) <= _MOST_KEY:
            raise Problem(400, "invalid_input", "There is no key.", 'Send {"key": "..."}.')
        caller = await doorkeeper.proved(key)
    audit(request, caller, "session.open", caller.who, 200)
    view = await _view(service_of(request), caller)
    response = Response(view.model_dump_json(), media_type="application/json")
    value, seconds = doorkeeper.cookie(caller)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    response.set_cookie(COOKIE, value, seconds, httponly=True, samesite="strict", secure=secure)
    return response


@router.delete("/session", status_code=204)
async def close_session() -> Response:
    """Take the page's cookie away."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
