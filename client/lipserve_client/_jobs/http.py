"""Calls of a gateway: encrypted where its address says so, made again where that can help."""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from lipserve.errors import ConnectError, InternalError, LipServeError, OptionsError, SetupError
from lipserve_client._config import TLS, is_loopback
from lipserve_client._fleet import FIRST_CONTACT_DELAY, FIRST_DELAY, LONGEST_DELAY
from lipserve_client._jobs.problems import LOCKED, refusal, unreached

DEFAULT_GATEWAY = "http://127.0.0.1:8080"
URL_VARIABLE = "LIPSERVE_JOBS_URL"
KEY_VARIABLE = "LIPSERVE_JOBS_KEY"
QUIET_SECONDS = 60.0  # an events stream that has said nothing for so long is dead: gateways send heartbeats
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_WAITING = (LOCKED, 429, 503)  # statuses that say: later
_LONGEST_ASKED = 30.0  # seconds of Retry-After that are obeyed


class Gateway:
    """How a gateway is called.

    Args:
        url: http:// or https://, with a path where it lies below one. None: LIPSERVE_JOBS_URL, else this
            machine's.
        key: API key or token. None: LIPSERVE_JOBS_KEY, else none.
        retries: how often a call is made again.

    Raises:
        OptionsError: the address is none. SetupError: a file of TLS cannot be read.
    """

    def __init__(self, url: str | None, key: str | None, tls: TLS | None, retries: int) -> None:
        self.url = _address(url or os.environ.get(URL_VARIABLE) or DEFAULT_GATEWAY)
        if retries < 0:
            raise OptionsError(f"retries={retries} is negative.", "Give 0 or more.")
        self.retries = retries
        self.answered = False  # whether it ever did
        self._name = tls.name if tls else None
        self._key = _header(key or os.environ.get(KEY_VARIABLE))
        self._ssl: ssl.SSLContext | bool = _context(tls) if self.url.startswith("https://") else False

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Give connections to it, in the event loop that runs."""
        headers = {"user-agent": "lipserve", "accept": "application/json"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        parts = urlsplit(self.url)
        async with httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=_TIMEOUT,
            verify=self._ssl,
            # A proxy of the environment is not asked for this machine's own addresses.
            trust_env=not is_loopback(f"{parts.hostname}:0"),
        ) as http:
            yield Session(self, http, {"sni_hostname": self._name} if self._name else {})


class Session:
    """Calls over connections that are kept."""

    def __init__(self, gateway: Gateway, http: httpx.AsyncClient, extensions: Mapping[str, Any]) -> None:
        self.gateway, self._http, self._extensions = gateway, http, dict(extensions)

    async def call(self, method: str, path: str, *, repeat: bool = True, **wanted: Any) -> httpx.Response:
        """Return the answer to a call, its body read.

        Args:
            repeat: whether the call may be carried out twice. If not, it is made again only where it surely
                was not carried out.
            **wanted: httpx's: json, content, headers, params, timeout.

        Raises:
            the error that the gateway names; ConnectError: it is away.
        """
        pauses = Pauses(self.gateway.retries)
        while True:
            try:
                return await self.once(method, path, **wanted)
            except LipServeError as error:
                pause = pauses.after(error, self.gateway.answered)
                if pause is None or not (repeat or isinstance(error.__cause__, _UNSENT)):
                    raise
                await asyncio.sleep(pause)

    async def once(self, method: str, path: str, **wanted: Any) -> httpx.Response:
        """Return the answer to a call that is made once."""
        async with self.opened(method, path, **wanted) as response:
            await response.aread()
            return response

    @asynccontextmanager
    async def opened(self, method: str, path: str, **wanted: Any) -> AsyncIterator[httpx.Response]:
        """Give the answer to a call that is made once, its body not yet read; errors as those of `call`."""
        url = self.gateway.url
        try:
            async with self._http.stream(method, path, extensions=self._extensions, **wanted) as response:
                if response.status_code >= 300:
                    await response.aread()
                    raise refusal(response, url) from _RefusedError.of(response)
                self.gateway.answered = True
                yield response
        except httpx.TransportError as error:
            raise unreached(error, url) from error
        except httpx.HTTPError as error:  # a body that cannot be decoded
            raise InternalError(f"The answer of {url} cannot be read ({error}).", "Try again.") from error

    async def json(self, method: str, path: str, *, repeat: bool = True, **wanted: Any) -> Any:
        """Return the decoded JSON of an answer."""
        return decoded((await self.call(method, path, repeat=repeat, **wanted)).content)


class Pauses:
    """How long to wait before a call is made again: longer each time, with jitter."""

    def __init__(self, retries: int) -> None:
        self._left = retries
        self._longest = FIRST_DELAY

    def after(self, error: LipServeError, known: bool) -> float | None:
        """Return the seconds to wait after an error; None: another try cannot help.

        Args:
            known: whether the gateway has ever answered: one that never did is given one more try only.
        """
        if not error.retryable or self._left == 0:
            return None
        self._left -= 1
        if isinstance(error, ConnectError) and not known:
            self._left = 0
            return FIRST_CONTACT_DELAY
        pause = self._longest * random.uniform(0.5, 1.0)
        self._longest = min(LONGEST_DELAY, 2 * self._longest)
        return max(pause, error.__cause__.seconds) if isinstance(error.__cause__, _BusyError) else pause


class _RefusedError(Exception):
    """The status of an answer."""

    @classmethod
    def of(cls, response: httpx.Response) -> _RefusedError:
        status = response.status_code
        text = f"the gateway answered {status} {response.reason_phrase}"
        return _BusyError(text, response) if status in _WAITING else cls(text)


class _BusyError(_RefusedError):
    """Nothing was done: the gateway is full, or starts; it may say how long to wait."""

    def __init__(self, text: str, response: httpx.Response) -> None:
        asked = response.headers.get("retry-after", "")
        self.seconds = min(_LONGEST_ASKED, float(asked)) if asked.isdecimal() else 0.0
        super().__init__(text)


_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, _BusyError)


def decoded(content: bytes | str) -> Any:
    """Return decoded JSON, or raise InternalError."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise InternalError(
            "The gateway's answer is not JSON.", "Is this the address of a gateway?"
        ) from error


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise OptionsError(
            f"{url!r} is not the address of a gateway.",
            f"Give http:// or https://, such as {DEFAULT_GATEWAY}.",
        )
    return url.rstrip("/")


def _header(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise OptionsError("The key has characters that no key has.", "Give the key alone.")
    return key


def _context(tls: TLS | None) -> ssl.SSLContext:
    files = tls or TLS()
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.cert is not None:
            context.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"The TLS files cannot be read ({error}).", "Give PEM files.") from error
    return context
