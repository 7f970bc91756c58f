"""Files of their own: sent at once, or by tus in pieces (tus.py)."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from lipserve.errors import InputError, LimitError
from lipserve.text import printable
from lipserve_jobs.gateway import tus
from lipserve_jobs.gateway.audit import audit
from lipserve_jobs.gateway.auth import Caller, Known
from lipserve_jobs.gateway.bodies import chunks
from lipserve_jobs.gateway.intake import Parts
from lipserve_jobs.gateway.problems import not_found
from lipserve_jobs.gateway.routes.common import PROBLEMS, service_of
from lipserve_jobs.gateway.shelf import FileView, Meta, end_of
from lipserve_jobs.store.keys import file_prefix

router = APIRouter(prefix="/v1/files", tags=["files"], responses=PROBLEMS)


@router.options("", include_in_schema=False)
@router.options("/{id}", include_in_schema=False)
async def options() -> Response:
    """Tell what of tus is spoken here."""
    return Response(status_code=204, headers=tus.OPTIONS)


@router.post(
    "",
    status_code=201,
    response_model=FileView,
    openapi_extra={
        "requestBody": {
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        }
    },
)
async def create_file(request: Request, caller: Known, name: str = "") -> Response:
    """Send a file as the body; or, with the header Tus-Resumable, begin one that comes by tus 1.0.0."""
    if "tus-resumable" in request.headers:
        return await tus.create(request, service_of(request), caller)
    return await _at_once(request, caller, name)


async def _at_once(request: Request, caller: Caller, name: str) -> Response:
    service, tenant = service_of(request), caller.tenant
    told = request.headers.get("content-length", "0")
    length = int(told[:20]) if told.isdecimal() else 0
    if length > tenant.quota.upload_bytes:
        raise LimitError(f"The file is larger than {tenant.quota.upload_bytes} bytes.", "Send a smaller one.")
    await service.quotas.check_bytes(tenant, length)
    id = service.shelf.new_id()
    prefix = file_prefix(tenant.name, id)
    parts = Parts(service.intake, tenant.name, prefix, tenant.quota.upload_bytes)
    try:
        with service.intake.coming():
            async for chunk in chunks(request):
                await parts.add(chunk)
            await parts.flush()
        if not parts.offset:
            raise InputError("The file is empty.", "Send the file as the body.")
        meta = Meta(
            length=parts.offset,
            name=printable(PurePosixPath(name).name)[:500],
            media_type=request.headers.get("content-type", "")[:100],
            created=time.time(),
            sha256=parts.sha256,
        )
        await service.shelf.describe(tenant.name, id, meta)
    except (Exception, ClientDisconnect):
        await parts.discard()
        raise
    service.shelf.add(tenant.name, parts.offset)
    audit(request, caller, "file.create", id, 201, meta.sha256)
    text = FileView.of(id, meta, parts.offset).model_dump_json()
    return Response(text, 201, {"Location": f"/v1/files/{id}"}, media_type="application/json")


@router.head("/{id}", response_class=Response)
async def head_file(request: Request, caller: Known, id: str) -> Response:
    """Tell by tus how much of a file has come."""
    tus.check_version(request)
    found = await service_of(request).shelf.find(caller.tenant.name, id)
    if found is None:
        raise not_found("file")
    meta, parts = found
    return Response(headers=tus.state(meta, end_of(parts)) | {"Cache-Control": "no-store"})


@router.patch("/{id}", status_code=204, response_class=Response)
async def patch_file(request: Request, caller: Known, id: str) -> Response:
    """Send more of a file by tus."""
    return await tus.patch(request, service_of(request), caller, id)


@router.delete("/{id}", status_code=204, response_class=Response)
async def delete_file(request: Request, caller: Known, id: str) -> Response:
    """Remove a file that no job uses."""
    return await tus.delete(request, service_of(request), caller, id)
