"""Who calls: by an API key, a token, the page's cookie; on one machine, whoever reaches the port."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import jwt
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from lipserve_jobs.gateway.oidc import BadTokenError, Issuer
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.records import Tenant
from lipserve_jobs.records.roster import Roster
from lipserve_jobs.records.tenant import LOCAL

COOKIE = "lipserve_session"
SESSION_SECONDS = 12 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        who: what proves it: `key:` and the start of its digest, `token:` and its subject, or `local`.
        until: when the proof ends (seconds since 1970); None: never.
    """

    tenant: Tenant
    who: str
    until: float | None = None


class Doorkeeper:
    """Tells who calls."""

    def __init__(self, settings: Settings, roster: Roster) -> None:
        self._settings, self._roster = settings, roster
        self._issuer = None if settings.oidc is None else Issuer(settings.oidc)
        self._secret = settings.session_secret or secrets.token_hex(32)

    async def who(self, request: Request) -> Caller:
        """Return who sends a request; Problem 401 or 403 where that is nobody known."""
        if self._settings.open_to_all:
            self._check_near(request)
            return Caller(self._roster.named(LOCAL), LOCAL)
        scheme, _, proof = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and proof:
            return await self.proved(proof.strip())
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            if request.method not in _SAFE and not _same_origin(request):
                raise Problem(403, "forbidden", "The request comes from a page of another origin.")
            return self._remembered(cookie)
        raise _nobody("There is no API key and no token.")

    async def proved(self, proof: str) -> Caller:
        """Return whom an API key or a token proves."""
        tenant = self._roster.by_key(proof)
        if tenant is not None:
            return Caller(tenant, f"key:{_digest(proof)}")
        if self._issuer is not None and proof.count(".") == 2:
            try:
                name, subject, until = await self._issuer.tenant(proof)
            except BadTokenError as error:
                raise _nobody(f"The token is not accepted: {error}.") from error
            return Caller(self._roster.named(name), f"token:{subject}", until)
        raise _nobody("The API key or token is not known.")

    def cookie(self, caller: Caller) -> tuple[str, int]:
        """Return a cookie that proves a caller, and for how many seconds it does."""
        now = time.time()
        until = min(now + SESSION_SECONDS, caller.until or now + SESSION_SECONDS)
        claims = {"tenant": caller.tenant.name, "who": caller.who, "exp": int(until), "aud": COOKIE}
        return jwt.encode(claims, self._secret, "HS256"), int(until - now)

    def _remembered(self, cookie: str) -> Caller:
        try:
            claims = jwt.decode(
                cookie,
                self._secret,
                algorithms=["HS256"],
                audience=COOKIE,
                options={"require": ["exp", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise _nobody("The session has ended.") from error
        tenant, who = self._roster.named(str(claims["tenant"])), str(claims["who"])
        kind, _, digest = who.partition(":")
        if kind == "key" and not any(known.startswith(digest) for known in tenant.keys):
            raise _nobody("The key of the session is not known any more.")
        return Caller(tenant, who, float(claims["exp"]))

    def _check_near(self, request: Request) -> None:
        """Refuse what another page makes a browser of this machine send."""
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if name not in self._settings.hosts:
            raise Problem(
                403,
                "forbidden",
                f"The service is not called {name}.",
                f"Call it {self._settings.hosts[0]}, or give it tenants.",
            )
        if request.method not in _SAFE and not _same_origin(request):
            raise Problem(403, "forbidden", "The request comes from a page of another origin.")


def _same_origin(request: Request) -> bool:
    """Return whether a request comes from our own page, or from no page at all."""
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc == request.headers.get("host")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _nobody(detail: str) -> Problem:
    return Problem(
        401,
        "unauthenticated",
        detail,
        "Send Authorization: Bearer and an API key of a tenant.",
        {"WWW-Authenticate": 'Bearer realm="lipserve"'},
    )


_BEARER = HTTPBearer(auto_error=False, description="an API key, or a token of the issuer")
_SESSION = APIKeyCookie(name=COOKIE, auto_error=False, description="of POST /v1/session")


async def _caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    session: Annotated[str | None, Security(_SESSION)],
) -> Caller:
    doorkeeper: Doorkeeper = request.app.state.service.doorkeeper
    caller = await doorkeeper.who(request)
    request.state.caller = caller
    return caller


Known = Annotated[Caller, Depends(_caller)]
"""A parameter of a route that only who is known may call."""
