"""Files that callers have sent: what is known of each, and its parts."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lipserve.errors import InputError
from lipserve.text import printable
from lipserve_jobs.records.view import stamp
from lipserve_jobs.store import Store
from lipserve_jobs.store.keys import file_prefix

KEEP_SECONDS = 86_400.0
"""So long a file that no job uses is kept."""
_ID = re.compile(r"[0-9a-f]{32}")
_HELD_SECONDS = 30.0


class Meta(BaseModel):
    """What is known of a file.

    Attributes:
        length: bytes, once all have come. media_type: as the caller says it.
        sha256: of the file; where it came in parts, as the caller said it. None: not known.
    """

    model_config = ConfigDict(frozen=True)

    length: int
    name: Annotated[str, Field(max_length=500)] = ""
    media_type: str = ""
    created: float
    sha256: str | None = None


class FileView(BaseModel):
    """A file that was sent; `reference` stands for it in a job."""

    id: str
    reference: str
    length: int
    offset: int
    name: str
    expires: str

    @classmethod
    def of(cls, id: str, meta: Meta, offset: int) -> FileView:
        return cls(
            id=id,
            reference=f"file:{id}",
            length=meta.length,
            offset=offset,
            name=meta.name,
            expires=stamp(meta.created + KEEP_SECONDS),
        )


class Shelf:
    """Files in the store, by tenant and id."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._held: dict[str, tuple[float, int]] = {}

    def new_id(self) -> str:
        return secrets.token_hex(16)

    async def describe(self, tenant: str, id: str, meta: Meta) -> None:
        """Write what is known of a file."""
        await self.store.write(f"{file_prefix(tenant, id)}meta.json", meta.model_dump_json().encode())

    async def find(self, tenant: str, id: str) -> tuple[Meta, list[tuple[int, int]]] | None:
        """Return what is known of a file and its parts, each with its offset and size, without a gap."""
        if not _ID.fullmatch(id):
            return None
        text = await self.store.read(f"{file_prefix(tenant, id)}meta.json")
        if text is None:
            return None
        found = []
        async for item in self.store.list(file_prefix(tenant, id)):
            name = item.key.rpartition("/")[2]
            if name.isdecimal():
                found.append((int(name), item.size))
        parts: list[tuple[int, int]] = []
        for offset, size in sorted(found):
            if offset == end_of(parts):
                parts.append((offset, size))
        return Meta.model_validate_json(text), parts

    async def sha256(self, tenant: str, id: str) -> str | None:
        """Return the SHA-256 of a file; None: it is not known."""
        text = await self.store.read(f"{file_prefix(tenant, id)}meta.json")
        return None if text is None else Meta.model_validate_json(text).sha256

    async def length(self, tenant: str, id: str) -> int:
        """Return the length of a file that is all here; InputError where it is not."""
        found = await self.find(tenant, id)
        if found is None:
            raise InputError(f"There is no file:{printable(id)[:40]}.", "Send the file again.")
        meta, parts = found
        if end_of(parts) != meta.length:
            raise InputError(
                f"Of file:{id} {end_of(parts)} of {meta.length} bytes have come.",
                "Send the rest of it first.",
            )
        return meta.length

    async def remove(self, tenant: str, id: str) -> None:
        await self.store.remove_all(file_prefix(tenant, id))

    async def stream(
        self, tenant: str, id: str, parts: list[tuple[int, int]], start: int, end: int
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of a file from `start` up to `end`."""
        for offset, size in parts:
            first, last = max(start, offset), min(end, offset + size)
            if first < last:
                key = f"{file_prefix(tenant, id)}{offset:015d}"
                async for chunk in self.store.stream(key, first - offset, last - offset):
                    yield chunk

    async def held(self, tenant: str) -> int:
        """Return how many bytes are kept for a tenant, as they were within the last half minute."""
        when, size = self._held.get(tenant, (-_HELD_SECONDS, 0))
        if time.monotonic() - when > _HELD_SECONDS:
            size = 0
            for root in ("files", "jobs"):
                async for item in self.store.list(f"{root}/{tenant}/"):
                    size += item.size
            self._held[tenant] = (time.monotonic(), size)
        return size

    def add(self, tenant: str, size: int) -> None:
        """Count bytes that have come since."""
        when, held = self._held.get(tenant, (-_HELD_SECONDS, 0))
        self._held[tenant] = (when, held + size)


def end_of(parts: list[tuple[int, int]]) -> int:
    """Return the offset behind the last part."""
    return sum(parts[-1]) if parts else 0
