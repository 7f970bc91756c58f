"""Bytes of the store as HTTP gives them: whole or a range, with a tag that says whether they have changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from lipserve_jobs.gateway.problems import Problem

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_MEDIA = re.compile(r"(video|audio|image)/[a-z0-9.+-]{1,60}")
_QUIET = "default-src 'none'; sandbox"
"""Nothing that a caller has sent is ever run as a page."""


@dataclass(frozen=True)
class Content:
    """Bytes that can be given.

    Attributes:
        stream: yields them from a start up to an end. tag: changes with them.
        name: under which they are saved, where that is asked for.
    """

    size: int
    media_type: str
    tag: str
    stream: Callable[[int, int], AsyncIterator[bytes]]
    name: str = ""


def delivered(request: Request, content: Content, download: bool = False) -> Response:
    """Return the answer to a GET or HEAD: 200, 206, 304 or 416."""
    tag = f'"{content.tag}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _QUIET,
    }
    if download:
        headers["Content-Disposition"] = _attachment(content.name)
    if tag in [known.strip() for known in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    start, end, status = 0, content.size, 200
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", tag) == tag:
        found = _range(wanted, content.size)
        if found is not None:
            start, end = found
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.media_type)
    return StreamingResponse(content.stream(start, end), status, headers, content.media_type)


def media_type_of(told: str) -> str:
    """Return the media type of a file that a caller describes; pages and scripts are none."""
    media = told.partition(";")[0].strip().lower()
    return media if _MEDIA.fullmatch(media) and "svg" not in media else "application/octet-stream"


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and the end of a single range; None: it is none, and all is given."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    if found[1]:
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, end = max(0, size - int(found[2])), size
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, "invalid_range", f"The range is outside of {size} bytes.", headers=headers)
    return start, end


def _attachment(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name) or "result"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
