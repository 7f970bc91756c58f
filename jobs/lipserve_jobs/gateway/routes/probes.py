"""What machines ask: whether the gateway lives and is ready, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from lipserve_jobs.gateway.routes.common import service_of

router = APIRouter(tags=["probes"])


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Tell that the process serves; nothing else is asked."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(request: Request) -> Response:
    """Tell whether requests should come: the records are here, NATS and the store answer."""
    service = service_of(request)
    seen = await service.observation.now(service.stopping.is_set())
    return PlainTextResponse("ready\n" if seen.ready else "not ready\n", 200 if seen.ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Tell what is counted, for Prometheus; where it has a port of its own, nowhere else."""
    service = service_of(request)
    if service.settings.metrics_port not in (None, request.scope["server"][1]):
        raise HTTPException(404)
    seen = await service.observation.now(service.stopping.is_set())
    return Response(service.meters.page(seen), media_type=CONTENT_TYPE_LATEST)
