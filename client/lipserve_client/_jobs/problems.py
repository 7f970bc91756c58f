"""What a gateway refuses, as the exceptions of `lipserve.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from lipserve.errors import (
    ConnectError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    OptionsError,
    UnavailableError,
    codes,
    of_code,
)

_PROBLEM = "application/problem+json"
LOCKED = 423
_SHOWN = 300  # characters of an answer that is no problem+json
_KNOWN = frozenset(codes())
_OWN: dict[str, type[LipServeError]] = {
    "not_found": InputError,
    "not_ready": InputError,
    "conflict": InputError,
    "key_reused": OptionsError,
    "quota_exceeded": LimitError,
}
"""Codes that are HTTP's own, and stand for themselves."""


def refusal(response: httpx.Response, url: str) -> LipServeError:
    """Return the error that an answer with a status of 300 or above stands for; its body has been read."""
    problem = _problem(response)
    if response.status_code == LOCKED:
        return UnavailableError(f"{url} is at work on the same thing.", "Try again in a few seconds.")
    if problem is None:
        return _by_status(response.status_code, _text(response), url, "")
    detail = str(problem.get("detail") or problem.get("title") or "The gateway refuses the call.")
    code, remedy = str(problem.get("code")), str(problem.get("remedy") or "")
    if code in _KNOWN:
        return of_code(code, detail, remedy)
    if code in _OWN:
        return _OWN[code](detail, remedy)
    return _by_status(response.status_code, detail, url, remedy)


def unreached(error: httpx.TransportError, url: str) -> LipServeError:
    """Return the error of a call that got no answer."""
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        if "CERTIFICATE" in text.upper():
            return InputError(
                f"{url} does not prove who it is ({text}).",
                "Give the certificate authority that it has its certificate from: TLS(ca=...), or --tls-ca.",
            )
        return ConnectError(
            f"No gateway answers at {url} ({text}).",
            "Start one with `lipserve jobs up`, or correct the address.",
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
        return InputError(f"{url} cannot be called ({text}).", "Correct the address, or the proxy's.")
    if isinstance(error, httpx.TimeoutException):
        return ConnectError(f"{url} gave no answer in time.", "Look at the gateway's log.")
    return ConnectError(f"The connection to {url} was cut off ({text}).", "Look at the gateway's log.")


def _problem(response: httpx.Response) -> Mapping[str, Any] | None:
    if not response.headers.get("content-type", "").startswith(_PROBLEM):
        return None
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _text(response: httpx.Response) -> str:
    text = " ".join(response.text.split())
    return text[:_SHOWN] or response.reason_phrase


def _by_status(status: int, text: str, url: str, remedy: str) -> LipServeError:
    if status in (301, 302, 303, 307, 308):
        return InputError(f"{url} sends us to another address.", "Give the address of the gateway itself.")
    if status in (401, 403):
        return InputError(
            f"{url} does not admit this client: {text}",
            "Give an API key or a token of yours: key=..., --key-file FILE, or LIPSERVE_JOBS_KEY.",
        )
    if status == 413:
        return LimitError(f"{url} takes nothing so large: {text}", remedy or "Send a smaller file.")
    if status in (429, 502, 503, 504):
        return UnavailableError(f"{url} is starting or full: {text}", remedy or "Try again in a few seconds.")
    if status < 500:
        return InputError(f"{url} refuses the call: {text}", remedy or "Is this the address of a gateway?")
    return InternalError(f"{url} failed ({status}): {text}", remedy or "Search the gateway's log for this.")
