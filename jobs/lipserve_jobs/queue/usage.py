"""What tenants have used, by calendar months (UTC): key `tenant.2026-11`."""

from __future__ import annotations

import time
from contextlib import suppress

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import BaseModel, ConfigDict

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.records import Job


class Usage(BaseModel):
    """What a tenant has used in a month.

    Attributes:
        jobs: that are done. seconds: of results. bytes: of results.
        work_seconds: that requests took.
    """

    model_config = ConfigDict(frozen=True)

    jobs: int = 0
    seconds: float = 0.0
    bytes: int = 0
    work_seconds: float = 0.0

    def plus(self, job: Job) -> Usage:
        return Usage(
            jobs=self.jobs + 1,
            seconds=round(self.seconds + job.seconds, 3),
            bytes=self.bytes + (job.result.size if job.result else 0),
            work_seconds=round(self.work_seconds + job.work_seconds, 3),
        )


class Ledger:
    """Reads and adds. A worker that dies between the end of a job and its entry loses the entry."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def used(self, tenant: str, month: str | None = None) -> Usage:
        """Return what a tenant has used in a month such as 2026-11, by default this one."""
        return (await self._read(_key(tenant, month)))[0]

    async def add(self, job: Job) -> None:
        """Enter a job that is done."""
        key = _key(job.tenant, None)
        bucket = self._broker.bucket(names.USAGE)
        while True:
            usage, revision = await self._read(key)
            text = usage.plus(job).model_dump_json().encode()

            async def write(text: bytes = text, revision: int = revision) -> bool:
                with suppress(KeyWrongLastSequenceError):
                    await bucket.update(key, text, last=revision)
                    return True
                return False

            if await self._broker.lasting(write):
                return

    async def _read(self, key: str) -> tuple[Usage, int]:
        async def read() -> tuple[Usage, int]:
            with suppress(KeyNotFoundError):
                entry = await self._broker.bucket(names.USAGE).get(key)
                return Usage.model_validate_json(entry.value or b"{}"), entry.revision or 0
            return Usage(), 0

        return await self._broker.lasting(read)


def _key(tenant: str, month: str | None) -> str:
    return f"{tenant}.{month or time.strftime('%Y-%m', time.gmtime())}"
