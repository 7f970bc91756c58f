"""An object store by its address."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

from lipserve.errors import SetupError, StorageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

CHUNK = 1 << 20
PART = 5 << 20  # smallest of S3
_TRY_SECONDS = 120
_DETAILS = re.compile(r"Error performing .* retry_timeout: \S+\s+- ")


@dataclass(frozen=True)
class Found:
    """An object in a listing."""

    key: str
    size: int
    modified: datetime


class _WholeError(Exception):
    """The server does not give parts of an object."""


class Store:
    """Reads and writes objects; a write is whole or not there at all.

    Every call raises StorageError where the store fails, after tries for two minutes.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    @classmethod
    def open(cls, address: str, endpoint: str | None = None) -> Self:
        """Return a store.

        Args:
            address: a folder, or s3://bucket/prefix. Keys and region come as AWS's tools take them: from
                AWS_* variables, a web identity, or the machine.
            endpoint: of another service that speaks S3; http:// is taken as it is.
        """
        if not address.startswith("s3://"):
            path = Path(address.removeprefix("file://")).absolute()
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SetupError(
                    f"{path} cannot be a store ({error.strerror}).", "Name another folder."
                ) from error
            return cls(LocalStore(str(path), automatic_cleanup=True))
        more: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
        options: ClientConfig = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=5)}
        if endpoint is not None and endpoint.startswith("http://"):
            options["allow_http"] = True
        return cls(
            S3Store.from_url(
                address,
                client_options=options,
                retry_config={
                    "max_retries": 30,
                    "retry_timeout": timedelta(seconds=_TRY_SECONDS),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=3),
                        "base": 2,
                    },
                },
                **more,
            )
        )

    async def write(self, key: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, key, content, use_multipart=False)
        except BaseError as error:
            raise _failed(key, error) from error

    async def write_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Write an object as it comes, and return its size and SHA-256; about 10 MiB of it are held."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                digest.update(chunk)
                yield chunk

        try:
            await obstore.put_async(
                self._store, key, counted(), use_multipart=True, chunk_size=PART, max_concurrency=1
            )
        except BaseError as error:
            raise _failed(key, error) from error
        return size, digest.hexdigest()

    async def write_file(self, key: str, path: Path) -> tuple[int, str]:
        """Write a file, and return its size and SHA-256."""

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk

        return await self.write_stream(key, chunks())

    async def read(self, key: str) -> bytes | None:
        """Return a small object; None: there is none."""
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise _failed(key, error) from error

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield an object, or its bytes from `start` up to `end`; StorageError where there is none."""
        wanted: Any = None
        if start or end is not None:
            wanted = {"offset": start} if end is None else (start, end)
        try:
            async for chunk in self._stream(key, wanted):
                yield chunk
        except _WholeError:  # rclone answers with all of it, and 200
            at = 0
            async for chunk in self._stream(key, None):
                first, last = max(0, start - at), len(chunk) if end is None else max(0, end - at)
                at += len(chunk)
                if chunk[first:last]:
                    yield chunk[first:last]
                if end is not None and at >= end:
                    return

    async def _stream(self, key: str, wanted: Any) -> AsyncIterator[bytes]:
        try:
            found = await obstore.get_async(self._store, key, options={"range": wanted} if wanted else {})
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except (BaseError, FileNotFoundError) as error:
            if wanted and "non-partial" in str(error):
                raise _WholeError from error
            raise _failed(key, error) from error

    async def fetch(self, key: str, path: Path) -> None:
        """Write an object into a file, which appears whole or not at all."""
        beside = path.with_name(f"{path.name}.part")
        with beside.open("wb") as file:
            async for chunk in self.stream(key):
                file.write(chunk)
        beside.replace(path)

    async def size(self, key: str) -> int | None:
        """Return the size of an object; None: there is none."""
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise _failed(key, error) from error

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """Yield the objects whose keys begin with a prefix that ends with /."""
        try:
            async for page in obstore.list(self._store, prefix=prefix.rstrip("/")):
                for item in page:
                    yield Found(item["path"], item["size"], item["last_modified"])
        except BaseError as error:
            raise _failed(prefix, error) from error

    async def remove(self, *keys: str) -> None:
        """Remove objects; those that are gone already are no fault."""
        for key in keys:
            with suppress(NotFoundError, FileNotFoundError):
                try:
                    await obstore.delete_async(self._store, key)
                except (NotFoundError, FileNotFoundError):
                    pass
                except BaseError as error:
                    raise _failed(key, error) from error

    async def remove_all(self, prefix: str) -> None:
        """Remove everything whose keys begin with a prefix that ends with /."""
        keys = [found.key async for found in self.list(prefix)]
        await self.remove(*keys)


def _failed(key: str, error: Exception) -> StorageError:
    reason = _DETAILS.sub("", str(error).strip().splitlines()[0])[:200]
    return StorageError(f"The object store failed at {key}: {reason}.", "Try again; look at the store's log.")
