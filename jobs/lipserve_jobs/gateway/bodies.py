"""Bodies of requests: small ones whole, within a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request

from lipserve.errors import InputError, LimitError
from lipserve_jobs.gateway.problems import Problem

JSON_BYTES = 1 << 20
IDLE_SECONDS = 60.0
WHOLE_SECONDS = 300.0


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes; Problem 408 where nothing comes for a minute.

    It raises Starlette's ClientDisconnect where the caller leaves.
    """
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise Problem(408, "too_slow", "Nothing has come for a minute.", "Send it again.") from error
        if chunk is None:
            return
        if chunk:
            yield chunk


async def whole(request: Request, limit: int = JSON_BYTES) -> bytes:
    """Return a body; LimitError where it is larger than `limit` bytes, Problem 408 where it is slow."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            async for chunk in chunks(request):
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise Problem(408, "too_slow", "The body comes too slowly.", "Send it again.") from error
    return bytes(body)


async def decoded(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body; InputError where it is none."""
    return as_object(await whole(request))


def as_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object of a text; InputError where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("The body is not JSON.", "Send a JSON object.") from error
    if not isinstance(found, dict):
        raise InputError("The body is no JSON object.", "Send a JSON object.")
    return found


def _too_large(limit: int) -> LimitError:
    return LimitError(f"The body is larger than {limit} bytes.", "Send less.")
