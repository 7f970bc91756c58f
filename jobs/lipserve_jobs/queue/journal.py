"""The records of jobs, in a bucket: key `tenant.id`, value the JSON of the record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KV_DEL, KV_PURGE

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.records import Job

Change = Callable[[Job], Job | None]
"""Returns what a record is to be; None: it stays as it is."""


class Journal:
    """Reads and changes records."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def _kv(self):  # type: ignore[no-untyped-def]
        return self._broker.bucket(names.JOBS)

    async def create(self, job: Job) -> bool:
        """Write the record of a new job; False where there is one with its id."""

        async def write() -> bool:
            with suppress(KeyWrongLastSequenceError):
                await self._kv.create(_key(job.tenant, job.id), job.model_dump_json().encode())
                return True
            return False

        return await self._broker.lasting(write)

    async def get(self, tenant: str, id: str) -> Job | None:
        """Return the record of a job, or None."""
        found = await self._read(tenant, id)
        return found and found[0]

    async def change(self, tenant: str, id: str, change: Change) -> tuple[Job | None, bool]:
        """Change a record by compare-and-set; `change` is called anew where another was faster.

        Returns:
            the record as it is now (None: there is none), and whether this call changed it.
        """
        while True:
            found = await self._read(tenant, id)
            if found is None:
                return None, False
            job, revision = found
            wanted = change(job)
            if wanted is None or wanted == job:
                return job, False
            text = wanted.model_dump_json().encode()

            async def write(text: bytes = text, revision: int = revision) -> bool:
                with suppress(KeyWrongLastSequenceError):
                    await self._kv.update(_key(tenant, id), text, last=revision)
                    return True
                return False

            if await self._broker.lasting(write):
                return wanted, True
            # The write may have been ours, its answer lost: then the record is as it was wanted.
            now = await self._read(tenant, id)
            if now is not None and now[0] == wanted:
                return wanted, True

    async def erase(self, tenant: str, id: str) -> None:
        """Remove a record and its history."""

        async def purge() -> None:
            stream = f"KV_{names.JOBS}"
            await self._kv.purge(_key(tenant, id))
            await self._broker.js.purge_stream(stream, subject=f"$KV.{names.JOBS}.{_key(tenant, id)}")

        await self._broker.lasting(purge)

    async def watch(self) -> AsyncIterator[tuple[str, str, Job | None, int] | None]:
        """Yield every record, then None, then changes: tenant, id, record (None: it is erased), revision.

        NATS may end it without a word when a server restarts: `heads` tells whether something was missed.
        """
        watcher = await self._broker.lasting(lambda: self._kv.watchall())
        try:
            async for entry in watcher:
                if entry is None:
                    yield None
                    continue
                tenant, _, id = entry.key.partition(".")
                gone = entry.operation in (KV_DEL, KV_PURGE) or entry.value is None
                job = None if gone else Job.model_validate_json(entry.value)
                yield tenant, id, job, entry.revision or 0
        finally:
            with suppress(Exception):
                await watcher.stop()

    async def heads(self) -> tuple[int, int]:
        """Return the revision of the last change, and how many records there are."""
        info = await self._broker.lasting(lambda: self._broker.js.stream_info(f"KV_{names.JOBS}"))
        return info.state.last_seq, info.state.messages

    async def _read(self, tenant: str, id: str) -> tuple[Job, int] | None:
        async def read() -> tuple[Job, int] | None:
            with suppress(KeyNotFoundError):
                entry = await self._kv.get(_key(tenant, id))
                return Job.model_validate_json(entry.value or b""), entry.revision or 0
            return None

        return await self._broker.lasting(read)


def _key(tenant: str, id: str) -> str:
    return f"{tenant}.{id}"
