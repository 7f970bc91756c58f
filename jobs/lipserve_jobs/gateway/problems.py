"""Errors as application/problem+json (RFC 9457), with the codes and remedies of `lipserve.errors`."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lipserve.errors import (
    DeadlineExceededError,
    InputError,
    LimitError,
    LipServeError,
    ModelNotFoundError,
    StorageError,
    TransportError,
    UnavailableError,
)

log = logging.getLogger("lipserve.jobs")
_STATUS: tuple[tuple[type[LipServeError], int], ...] = (
    (LimitError, 413),
    (ModelNotFoundError, 404),
    (InputError, 400),
    (DeadlineExceededError, 504),
    (UnavailableError, 503),
    (StorageError, 503),
    (TransportError, 503),
)
_TITLES = {
    "unauthenticated": "Nobody known",
    "forbidden": "Not allowed",
    "not_found": "Not there",
    "not_ready": "Not ready yet",
    "conflict": "In conflict with what is there",
    "quota_exceeded": "Quota used up",
    "key_reused": "Idempotency key used for something else",
    "unavailable": "Not available now",
    "internal": "A defect",
}
RETRY_SECONDS = 5


class ProblemView(BaseModel):
    """An error: `code` is one of `lipserve.errors`, or one of HTTP's own such as `not_found`."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str = ""


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """A request that is refused for a reason of HTTP's own."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.remedy = status, code, detail, remedy
        self.headers, self.more = headers or {}, more

    def response(self) -> Response:
        body = {
            "type": f"urn:lipserve:problem:{self.code}",
            "title": _TITLES.get(self.code, self.code.replace("_", " ").capitalize()),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "remedy": self.remedy,
            **self.more,
        }
        text = json.dumps(body, ensure_ascii=False)
        return Response(text, self.status, self.headers, media_type="application/problem+json")


def not_found(what: str) -> Problem:
    return Problem(404, "not_found", f"There is no such {what}.", "Look at the id; it may have expired.")


def of_error(error: LipServeError) -> Problem:
    """Return the problem of a typed error."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Problem(status, error.code, error.message, error.remedy, headers)


def add_handlers(app: FastAPI) -> None:
    """Have every error of an app told as a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(LipServeError)
    async def typed(request: Request, error: LipServeError) -> Response:
        return of_error(error).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_input")
        return Problem(error.status_code, code, str(error.detail), headers=error.headers).response()

    @app.exception_handler(ClientDisconnect)
    async def left(request: Request, error: ClientDisconnect) -> Response:
        """Who has left reads no answer; it is counted, and no defect."""
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        incident = uuid.uuid4().hex[:8]
        log.error("incident %s at %s %s", incident, request.method, request.url.path, exc_info=error)
        detail = f"A defect ({type(error).__name__}), incident {incident}."
        return Problem(500, "internal", detail, "Search the gateway's log for it.").response()
