"""Objects of buckets that callers have named: s3://bucket/key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from lipserve.errors import FetchError, LimitError, UnavailableError
from lipserve_jobs.outside.web import CONNECT_SECONDS

_CHUNK = 1 << 20
_PART = 8 << 20


async def fetch_object(
    address: str, limit_bytes: int, buckets: Sequence[str], endpoint: str | None
) -> AsyncIterator[bytes]:
    """Yield an object; the errors are those of `outside.fetch.fetch`."""
    store, key = _opened(address, buckets, endpoint)
    try:
        found = await obstore.get_async(store, key)
        if found.meta["size"] > limit_bytes:
            raise LimitError(
                f"{address} has {found.meta['size']} bytes; {limit_bytes} are accepted.", "Send less."
            )
        async for chunk in found.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)
    except (BaseError, OSError) as error:  # some of its errors are Python's own
        raise _typed(address, error) from error


async def put_object(address: str, path: Path, buckets: Sequence[str], endpoint: str | None) -> None:
    """Write a file as an object; the errors are those of `outside.fetch.put`."""
    store, key = _opened(address, buckets, endpoint)
    try:
        await obstore.put_async(store, key, path, chunk_size=_PART, max_concurrency=2)
    except (BaseError, OSError) as error:  # some of its errors are Python's own
        raise _typed(address, error) from error


def is_listed(bucket: str, key: str, buckets: Sequence[str]) -> bool:
    """Return whether a list of `bucket` and `bucket/prefix/` has an object."""
    for entry in buckets:
        name, _, prefix = entry.partition("/")
        if bucket == name and key.startswith(prefix):
            return True
    return False


def _opened(address: str, buckets: Sequence[str], endpoint: str | None) -> tuple[S3Store, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise FetchError("The address names no object.", "Write it as s3://bucket/key.")
    if not is_listed(bucket, key, buckets):
        raise FetchError(f"The bucket of {address} is not on the list of allowed ones.", "Ask the operator.")
    more: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
    plain = endpoint is not None and endpoint.startswith("http://")
    return S3Store(
        bucket,
        client_options={
            "timeout": timedelta(seconds=300),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "allow_http": plain,
        },
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
        **more,
    ), key


def _typed(address: str, error: Exception) -> FetchError | UnavailableError:
    if isinstance(error, NotFoundError | FileNotFoundError):
        return FetchError(f"There is no {address}.", "Correct the address.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return FetchError(f"The service may not use {address}.", "Ask the operator for its rights.")
    return UnavailableError(f"The store of {address} fails.", "Try again later.")
