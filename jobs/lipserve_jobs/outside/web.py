"""HTTP to addresses that callers have named: each is checked, and the connection goes to what was checked."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

import httpx

from lipserve.errors import ConnectError, FetchError, UnavailableError
from lipserve_jobs.outside.addresses import check_host, resolve

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Checked(httpx.AsyncBaseTransport):
    """Resolves the host of a request itself, checks all its addresses, and connects to one of these.

    So nothing resolves the name a second time, when it could have another address. TLS still proves the
    name, and the header Host still has it.
    """

    def __init__(self, allowed: Sequence[str] | None, private: bool) -> None:
        self._allowed, self._private = allowed, private
        # No connection is kept: one belongs to the name that it was made for.
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        trusted = _trusted(os.environ.get("SSL_CERT_FILE"))
        self._inner = httpx.AsyncHTTPTransport(verify=trusted, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise FetchError("The address is neither https:// nor http://.", "Correct the address.")
        host = url.raw_host.decode("ascii")
        check_host(host, self._allowed, self._private)
        port = url.port or (443 if url.scheme == "https" else 80)
        request.extensions = {**request.extensions, "sni_hostname": host}
        refused: httpx.HTTPError | None = None
        for address in await resolve(host, port, self._private):
            request.url = url.copy_with(host=address)
            try:
                response = await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing is sent yet: the next one
                refused = error
                continue
            finally:
                request.url = url
            return response
        assert refused is not None
        raise refused

    async def aclose(self) -> None:
        await self._inner.aclose()


@lru_cache(maxsize=2)
def _trusted(authorities: str | None) -> ssl.SSLContext:
    """Return whom to trust: the authorities of a PEM file, or those of the package certifi."""
    return (
        httpx.create_ssl_context() if authorities is None else ssl.create_default_context(cafile=authorities)
    )


@asynccontextmanager
async def visitor(allowed: Sequence[str] | None, private: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client for one exchange, which ends in typed errors.

    Args:
        allowed: hosts, as `is_allowed` takes them. private: allow addresses that are not public.

    Raises:
        FetchError: an address is refused, or its TLS proves nothing. ConnectError: nobody answers; a later
            try may help.
    """
    transport = _Checked(allowed, private)
    times = httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS)
    headers = {"User-Agent": "lipserve", "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(
        transport=transport, timeout=times, headers=headers, trust_env=False, follow_redirects=False
    ) as client:
        try:
            yield client
        except httpx.InvalidURL as error:
            raise FetchError("The address is not valid.", "Correct the address.") from error
        except httpx.HTTPError as error:
            raise _typed(error) from error


def shown(url: httpx.URL) -> str:
    """Return what an error may say of an address: paths and queries may hold secrets."""
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}"


def refused_status(response: httpx.Response) -> FetchError | UnavailableError:
    """Return the error of an answer that is no success."""
    where, status = shown(response.request.url), response.status_code
    if status in _PASSING:
        return UnavailableError(f"{where} answers {status} now.", "Try again later.")
    return FetchError(f"{where} answers {status}.", "See that the address is right, and has not expired.")


def _typed(error: httpx.HTTPError) -> FetchError | ConnectError:
    try:
        where = shown(error.request.url)
    except RuntimeError:
        where = "The address"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message or "it proves nothing"
            return FetchError(
                f"The certificate of {where} is not accepted: {reason}.", "Mend it, or send the file itself."
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.UnsupportedProtocol):
        return FetchError("The address is neither https:// nor http://.", "Correct the address.")
    if isinstance(error, httpx.TimeoutException):
        return ConnectError(f"{where} does not answer in time.", "Try again later.")
    return ConnectError(f"The connection to {where} failed ({type(error).__name__}).", "Try again later.")


@asynccontextmanager
async def whole(seconds_until: float, what: str) -> AsyncIterator[None]:
    """Bound a wait by the time, of the loop's clock, at which the whole exchange is to be over."""
    try:
        async with asyncio.timeout_at(seconds_until):
            yield
    except TimeoutError as error:
        raise FetchError(f"{what} takes too long.", "Send the file itself.") from error
