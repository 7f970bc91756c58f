"""Tokens of an OpenID Connect issuer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Any

import httpx
import jwt

from lipserve_jobs.gateway.settings import Oidc
from lipserve_jobs.records.tenant import NAME

log = logging.getLogger("lipserve.jobs")
ALGORITHMS = ("RS256", "ES256")
_MOST_BYTES = 256 << 10
_MOST_KEYS = 64
_FRESH_SECONDS = 3600.0
_AGAIN_SECONDS = 30.0  # between two looks for a key that is not known
_LEEWAY_SECONDS = 30
_MAX_TOKEN = 16_384


class BadTokenError(Exception):
    """A token proves nothing."""


class Issuer:
    """Proves tokens with the keys that their issuer publishes; the keys are kept for an hour."""

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read = self._looked = -_FRESH_SECONDS
        self._lock = asyncio.Lock()

    async def tenant(self, token: str) -> tuple[str, str, float]:
        """Return the tenant of a token, its subject, and when it expires (seconds since 1970).

        Raises:
            BadTokenError: it is not the issuer's, for others, expired, or names no tenant.
        """
        try:
            if len(token) > _MAX_TOKEN:
                raise BadTokenError("it is too long")
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise BadTokenError("its algorithm is not allowed")
            key = await self._key(header.get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise BadTokenError(type(error).__name__) from error
        except (TypeError, ValueError) as error:  # a key of another kind than the algorithm
            raise BadTokenError("its key does not fit") from error
        name = claims.get(self._settings.tenant_claim)
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise BadTokenError(f"its claim {self._settings.tenant_claim} names no tenant")
        return name, str(claims["sub"])[:200], float(claims["exp"])

    async def _key(self, id: str | None) -> jwt.PyJWK:
        now = time.monotonic()
        if id not in self._keys or now - self._read > _FRESH_SECONDS:
            async with self._lock:
                if time.monotonic() - self._looked > _AGAIN_SECONDS:
                    self._looked = time.monotonic()
                    await self._look()
        if id not in self._keys:
            raise BadTokenError("its key is not known")
        return self._keys[id]

    async def _look(self) -> None:
        """Read the issuer's keys; where that fails the ones of before stay."""
        try:
            async with httpx.AsyncClient(timeout=10, follow_redirects=False) as client:
                address = self._settings.jwks
                if address is None:
                    base = self._settings.issuer.rstrip("/")
                    found = await _read(client, f"{base}/.well-known/openid-configuration")
                    address = str(found["jwks_uri"])
                keys = (await _read(client, address))["keys"][:_MOST_KEYS]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.error("the keys of %s cannot be read (%s)", self._settings.issuer, type(error).__name__)
            return
        usable: dict[str | None, jwt.PyJWK] = {}
        for key in keys:
            try:
                if key.get("use", "sig") == "sig":
                    usable[key.get("kid")] = jwt.PyJWK(key)
            except (jwt.PyJWTError, AttributeError):  # a kind of key that nobody here needs
                continue
        self._keys, self._read = usable, time.monotonic()


async def _read(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    async with client.stream("GET", address) as response:
        response.raise_for_status()
        text = b""
        async for chunk in response.aiter_bytes():
            text += chunk
            if len(text) > _MOST_BYTES:
                raise ValueError("too long")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
