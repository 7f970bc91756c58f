"""Files from, and results to, addresses that a tenant may name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from lipserve_jobs.outside.fetch import fetch, put
from lipserve_jobs.records import Tenant
from lipserve_jobs.worker.metrics import FETCHED


@dataclass(frozen=True)
class Outside:
    """What lies outside of the service.

    Attributes:
        private: whether addresses may be those of this network. endpoint: of the service that speaks S3.
    """

    tenant: Callable[[str], Tenant]
    private: bool = False
    endpoint: str | None = None

    async def fetch(self, tenant: str, address: str) -> AsyncIterator[bytes]:
        """Yield a file; errors as `lipserve_jobs.outside.fetch.fetch`."""
        known = self.tenant(tenant)
        chunks = fetch(
            address,
            known.quota.upload_bytes,
            known.fetch,
            private=self.private,
            buckets=known.buckets,
            endpoint=self.endpoint,
        )
        async for chunk in chunks:
            FETCHED.inc(len(chunk))
            yield chunk

    async def put(self, tenant: str, address: str, path: Path) -> None:
        """Put a file at an address; errors as `lipserve_jobs.outside.fetch.put`."""
        known = self.tenant(tenant)
        await put(
            address,
            path,
            known.fetch,
            private=self.private,
            buckets=known.buckets,
            endpoint=self.endpoint,
        )
