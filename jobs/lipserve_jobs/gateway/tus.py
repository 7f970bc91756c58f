"""Uploads that go on after a lost connection: tus 1.0.0, https://tus.io/protocols/resumable-upload.

Nothing of an upload is kept here: how far it is follows from its parts in the store, so any gateway goes on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Mapping
from email.utils import formatdate

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from lipserve.errors import InputError, LimitError
from lipserve.text import printable
from lipserve_jobs.gateway.audit import audit
from lipserve_jobs.gateway.auth import Caller
from lipserve_jobs.gateway.bodies import chunks
from lipserve_jobs.gateway.intake import Parts
from lipserve_jobs.gateway.problems import Problem, not_found
from lipserve_jobs.gateway.service import Service
from lipserve_jobs.gateway.shelf import KEEP_SECONDS, Meta, end_of
from lipserve_jobs.queue.locks import Lock, TakenError, locked
from lipserve_jobs.store.keys import file_prefix

VERSION = "1.0.0"
_RESUMABLE = {"Tus-Resumable": VERSION}
OPTIONS = {
    **_RESUMABLE,
    "Tus-Version": VERSION,
    "Tus-Extension": "creation,creation-with-upload,termination,expiration,checksum",
    "Tus-Checksum-Algorithm": "sha1,sha256",
}
_ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
_STREAM = "application/offset+octet-stream"
_MOST_METADATA = 8192


def check_version(request: Request) -> None:
    """Raise Problem 412 where a request speaks another version of tus."""
    if request.headers.get("tus-resumable") != VERSION:
        headers = {"Tus-Version": VERSION}
        raise Problem(412, "invalid_input", f"Only tus {VERSION} is spoken here.", headers=headers)


def state(meta: Meta, offset: int) -> dict[str, str]:
    """Return the headers that tell how far a file is."""
    return {
        **_RESUMABLE,
        "Upload-Offset": str(offset),
        "Upload-Length": str(meta.length),
        "Upload-Expires": formatdate(meta.created + KEEP_SECONDS, usegmt=True),
    }


async def create(request: Request, service: Service, caller: Caller) -> Response:
    """Begin a file; its first bytes may come with the request."""
    check_version(request)
    length, bound = _number(request, "upload-length"), caller.tenant.quota.upload_bytes
    if not 0 < length <= bound:
        raise LimitError(f"A file has 1 to {bound} bytes.", "Send another one.")
    await service.quotas.check_bytes(caller.tenant, length)
    told = _metadata(request.headers.get("upload-metadata", ""))
    meta = Meta(
        length=length,
        name=printable(told.get("filename", ""))[:500],
        media_type=told.get("filetype", "")[:100],
        created=time.time(),
        sha256=_sha256(told.get("sha256")),
    )
    id = service.shelf.new_id()
    await service.shelf.describe(caller.tenant.name, id, meta)
    audit(request, caller, "file.create", id, 201)
    offset = 0
    if request.headers.get("content-type") == _STREAM:
        offset = await _taken(request, service, caller, id, meta, 0)
    headers = state(meta, offset) | {"Location": f"/v1/files/{id}"}
    return Response(status_code=201, headers=headers)


async def patch(request: Request, service: Service, caller: Caller, id: str) -> Response:
    """Take in more of a file."""
    check_version(request)
    if request.headers.get("content-type") != _STREAM:
        raise Problem(415, "invalid_input", f"The media type is not {_STREAM}.")
    found = await service.shelf.find(caller.tenant.name, id)
    if found is None:
        raise not_found("file")
    offset = await _taken(request, service, caller, id, found[0], _number(request, "upload-offset"))
    return Response(status_code=204, headers=state(found[0], offset))


async def delete(request: Request, service: Service, caller: Caller, id: str) -> Response:
    """Remove a file; Problem 409 where a job uses it."""
    tenant = caller.tenant.name
    if await service.shelf.find(tenant, id) is None:
        raise not_found("file")
    if any(id in job.files for job in service.mirror.of(tenant)):
        raise Problem(409, "conflict", "A job uses the file.", "Erase the job.")
    await service.shelf.remove(tenant, id)
    audit(request, caller, "file.erase", id, 204)
    return Response(status_code=204, headers=_RESUMABLE)


async def _taken(request: Request, service: Service, caller: Caller, id: str, meta: Meta, offset: int) -> int:
    """Take in a body behind an offset, one request at a time; return up to where the file is here then."""
    try:
        async with locked(service.broker, f"file.{id}") as lock:
            found = await service.shelf.find(caller.tenant.name, id)
            if found is None:
                raise not_found("file")
            here = end_of(found[1])
            if offset != here:
                detail = f"The file is here up to {here}, not {offset}."
                raise Problem(409, "conflict", detail, "Ask with HEAD, and go on there.", _RESUMABLE)
            prefix = file_prefix(caller.tenant.name, id)
            parts = Parts(service.intake, caller.tenant.name, prefix, meta.length, offset)
            with service.intake.coming():
                await _fill(request, parts, lock)
            service.shelf.add(caller.tenant.name, parts.kept - offset)
            return parts.kept
    except TakenError as error:
        headers = {**_RESUMABLE, "Retry-After": "2"}
        raise Problem(423, "conflict", "Another request sends this file.", headers=headers) from error


async def _fill(request: Request, parts: Parts, lock: Lock) -> None:
    """Write a body; of one that is cut off what came is kept, unless it has a checksum."""
    wanted = _checksum(request.headers.get("upload-checksum"))
    sum_ = None if wanted is None else _ALGORITHMS[wanted[0]]()
    try:
        async for chunk in chunks(request):
            if sum_ is not None:
                sum_.update(chunk)
            if await parts.add(chunk):
                await lock.lengthen()
        if wanted is not None and sum_ is not None and sum_.digest() != wanted[1]:
            raise Problem(460, "checksum_mismatch", "The bytes are not those of the checksum.", "Send again.")
    except (ClientDisconnect, Problem):
        if wanted is None:
            await parts.flush()
        else:
            await parts.discard()
        raise
    except Exception:
        if wanted is not None:
            await parts.discard()
        raise
    await parts.flush()


def _checksum(header: str | None) -> tuple[str, bytes] | None:
    if header is None:
        return None
    name, _, value = header.partition(" ")
    try:
        if name in _ALGORITHMS:
            return name, base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        pass
    raise InputError("The checksum is not understood.", f"Use {', '.join(_ALGORITHMS)} and base64.")


def _sha256(text: str | None) -> str | None:
    """Return what a caller says of a file: its request is known again by it. InputError where it is none."""
    if text is not None and not re.fullmatch("[0-9a-f]{64}", text):
        raise InputError("sha256 in Upload-Metadata is no SHA-256.", "Give 64 hexadecimal digits.")
    return text


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isdecimal() or len(text) > 18:
        raise InputError(f"The header {name} is no number.", "Correct it.")
    return int(text)


def _metadata(header: str) -> Mapping[str, str]:
    """Return the pairs of Upload-Metadata: a name, a space, base64; with commas."""
    if len(header) > _MOST_METADATA:
        raise LimitError(f"Upload-Metadata is longer than {_MOST_METADATA} characters.", "Send less.")
    found = {}
    for pair in filter(None, (text.strip() for text in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode(errors="replace")
        except (ValueError, binascii.Error) as error:
            raise InputError("Upload-Metadata is not base64.", "Correct it.") from error
    return found
