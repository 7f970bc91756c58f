"""Files that come in: written to the store in parts, so that all uploads together hold little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from lipserve.errors import LimitError
from lipserve_jobs.gateway.metrics import ByTenant
from lipserve_jobs.gateway.problems import RETRY_SECONDS, Problem
from lipserve_jobs.store import Store

MOST_OPEN = 500
_MOST_PART, _LEAST_PART = 8 << 20, 128 << 10


class Intake:
    """Divides a memory among all uploads that are open: the more there are, the smaller their parts.

    So nobody waits for a slow one. A part is an object of its own, named by its offset in the file.

    Args:
        memory: bytes that all uploads together hold.
    """

    def __init__(self, store: Store, memory: int, opened: Gauge, taken: ByTenant) -> None:
        self.store, self._memory, self._opened, self._taken = store, memory, opened, taken
        self._open = 0

    @property
    def part_bytes(self) -> int:
        """The size of a part now; while it is written there are two of it."""
        return min(_MOST_PART, max(_LEAST_PART, self._memory // (2 * max(1, self._open))))

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Count an upload as open; Problem 503 where there are too many."""
        if self._open >= MOST_OPEN:
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise Problem(503, "unavailable", "Too many files come in now.", "Try again later.", headers)
        self._open += 1
        self._opened.inc()
        try:
            yield
        finally:
            self._open -= 1
            self._opened.dec()

    def count(self, tenant: str, size: int) -> None:
        self._taken.labels(tenant).inc(size)


class Parts:
    """A file that comes in, from an offset on.

    Args:
        prefix: of the file, ends with /. limit: largest offset that it may reach.

    Attributes:
        offset: up to which its bytes are here. kept: up to which they are in the store.
    """

    def __init__(self, intake: Intake, tenant: str, prefix: str, limit: int, offset: int = 0) -> None:
        self._intake, self._tenant, self._prefix, self._limit = intake, tenant, prefix, limit
        self.offset = self.kept = offset
        self._digest = hashlib.sha256()
        self._held: list[bytes] = []
        self._keys: list[str] = []

    async def add(self, chunk: bytes) -> bool:
        """Take in bytes, and return whether a part was written; LimitError where the file grows too large."""
        if self.offset + len(chunk) > self._limit:
            raise LimitError(f"The file is larger than {self._limit} bytes.", "Send a smaller file.")
        self._held.append(chunk)
        self._digest.update(chunk)
        self.offset += len(chunk)
        if self.offset - self.kept < self._intake.part_bytes:
            return False
        await self.flush()
        return True

    async def flush(self) -> None:
        """Write what is held as a part."""
        if self.offset == self.kept:
            return
        key = f"{self._prefix}{self.kept:015d}"
        part = b"".join(self._held)
        self._held.clear()
        await self._intake.store.write(key, part)
        self._intake.count(self._tenant, len(part))
        self._keys.append(key)
        self.kept = self.offset

    async def discard(self) -> None:
        """Remove what came in."""
        self._held.clear()
        await self._intake.store.remove(*self._keys)

    @property
    def sha256(self) -> str:
        """Of what came in, from the first offset on."""
        return self._digest.hexdigest()
