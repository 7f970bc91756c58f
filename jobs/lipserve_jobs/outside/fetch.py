"""Files from, and results to, addresses that callers have named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx

from lipserve.errors import FetchError, LimitError
from lipserve_jobs.outside.buckets import fetch_object, put_object
from lipserve_jobs.outside.web import refused_status, shown, visitor, whole

MAX_REDIRECTS = 5
WHOLE_SECONDS = 3600.0
_CHUNK = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})


async def fetch(
    address: str,
    limit_bytes: int,
    allowed: Sequence[str] | None,
    *,
    private: bool = False,
    buckets: Sequence[str] = (),
    endpoint: str | None = None,
    seconds: float = WHOLE_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield a file as it comes.

    Args:
        address: https://, http:// or s3://bucket/key.
        limit_bytes: the most that is taken.
        allowed: hosts, `.example.com` for all below one; None: all public ones.
        private: allow addresses that are not public. An operator's own choice, never a caller's.
        buckets: `bucket` or `bucket/prefix/`, that s3:// may name. endpoint: of another service than AWS
            that speaks S3. Keys are the machine's.
        seconds: for all of it.

    Raises:
        FetchError: the address is refused, or gives no file. LimitError: the file is too large.
        ConnectError, UnavailableError: a later try may help.
    """
    if address.startswith("s3://"):
        async for chunk in fetch_object(address, limit_bytes, buckets, endpoint):
            yield chunk
        return
    until = asyncio.get_running_loop().time() + seconds
    async with visitor(allowed, private) as client:
        async with whole(until, f"The file of {_host(address)}"):
            response = await _followed(client, client.build_request("GET", address), _REDIRECTS)
        try:
            if response.status_code != 200:
                raise refused_status(response)
            _held_to(response, limit_bytes)
            came, chunks = 0, response.aiter_raw(_CHUNK)
            while True:
                async with whole(until, f"The file of {_host(address)}"):
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return
                came += len(chunk)
                if came > limit_bytes:
                    raise _too_large(response, limit_bytes)
                yield chunk
        finally:
            await response.aclose()


async def put(
    address: str,
    path: Path,
    allowed: Sequence[str] | None = None,
    *,
    private: bool = False,
    buckets: Sequence[str] = (),
    endpoint: str | None = None,
    media_type: str = "application/octet-stream",
    seconds: float = WHOLE_SECONDS,
) -> None:
    """Put a file at an address: a presigned https:// one for PUT, or s3://. The rest is as in `fetch`."""
    if address.startswith("s3://"):
        await put_object(address, path, buckets, endpoint)
        return
    headers = {"Content-Type": media_type, "Content-Length": str(path.stat().st_size)}
    until = asyncio.get_running_loop().time() + seconds
    async with visitor(allowed, private) as client:
        async with whole(until, f"The result's way to {_host(address)}"):
            request = client.build_request("PUT", address, content=_Read(path), headers=headers)
            response = await _followed(client, request, _SAME_METHOD)
        await response.aclose()
        if not response.is_success:
            raise refused_status(response)


class _Read:
    """The content of a file; as often as it is asked for, from the start."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


async def _followed(
    client: httpx.AsyncClient, request: httpx.Request, statuses: frozenset[int]
) -> httpx.Response:
    """Return the answer to a request, its body not read, at the end of its redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True)
        if response.status_code not in statuses:
            return response
        await response.aclose()
        target = request.url.join(response.headers.get("Location", ""))
        if request.url.scheme == "https" and target.scheme != "https":
            raise FetchError(
                f"{shown(request.url)} leads from https:// to another kind of address.",
                "Name the file's own address.",
            )
        headers = {name: value for name, value in request.headers.items() if name.startswith("content-")}
        request = client.build_request(
            request.method, target, headers=headers, content=request.stream if headers else None
        )
    raise FetchError(f"{shown(request.url)} redirects too often.", "Name the file's own address.")


def _held_to(response: httpx.Response, limit_bytes: int) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(
            f"{shown(response.url)} sends a compressed file though that was not asked for.",
            "Send the file itself.",
        )
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > limit_bytes:
        raise _too_large(response, limit_bytes)


def _too_large(response: httpx.Response, limit_bytes: int) -> LimitError:
    return LimitError(f"The file of {shown(response.url)} is larger than {limit_bytes} bytes.", "Send less.")


def _host(address: str) -> str:
    try:
        return httpx.URL(address).host or "the address"
    except httpx.InvalidURL:
        return "the address"
