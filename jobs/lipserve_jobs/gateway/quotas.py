"""What a tenant may still use."""

from __future__ import annotations

import calendar
import time

from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.shelf import Shelf
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.records import FINAL, Tenant

_JOBS_RETRY_SECONDS = 30


class Quotas:
    """Holds tenants to their quotas; several gateways at once may let a little more pass."""

    def __init__(self, mirror: Mirror, ledger: Ledger, shelf: Shelf) -> None:
        self._mirror, self._ledger, self._shelf = mirror, ledger, shelf

    def unfinished(self, tenant: str) -> int:
        """Return how many jobs of a tenant have not ended."""
        return sum(count for state, count in self._mirror.states(tenant).items() if state not in FINAL)

    async def check_jobs(self, tenant: Tenant, more: int = 1) -> None:
        """Raise Problem 429 where a tenant may not have so many more jobs, or seconds of results."""
        bound = tenant.quota.jobs
        if bound is not None and self.unfinished(tenant.name) + more > bound:
            raise _used_up(f"{bound} jobs that have not ended", _JOBS_RETRY_SECONDS)
        seconds = tenant.quota.seconds
        if seconds is not None and (await self._ledger.used(tenant.name)).seconds >= seconds:
            raise _used_up(f"{seconds:g} seconds of results a month", _to_next_month())
        await self.check_bytes(tenant, 0)

    async def check_bytes(self, tenant: Tenant, more: int) -> None:
        """Raise Problem 429 where a tenant may not keep so many more bytes."""
        bound = tenant.quota.bytes
        if bound is not None and await self._shelf.held(tenant.name) + more > bound:
            raise Problem(
                429,
                "quota_exceeded",
                f"The quota is {bound} bytes that are kept.",
                "Erase jobs that are not needed any more.",
            )


def _used_up(what: str, retry_after: int) -> Problem:
    headers = {"Retry-After": str(retry_after)}
    return Problem(429, "quota_exceeded", f"The quota is {what}.", "Try again later.", headers)


def _to_next_month() -> int:
    now = time.gmtime()
    days = calendar.monthrange(now.tm_year, now.tm_mon)[1]
    today = now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec
    return (days - now.tm_mday + 1) * 86_400 - today
