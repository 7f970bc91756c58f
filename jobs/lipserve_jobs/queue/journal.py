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


Heard = Callable[[str, str, Job, int], None]
"""Takes a tenant, an id, the record that was written, and its revision."""


class Journal:
    """Reads and changes records.

    Args:
        heard: is told of every record that is written here.
    """

    def __init__(self, broker: Broker, heard: Heard | None = None) -> None:
        self._broker, self._heard = broker, heard

    @property
    def _kv(self):  # type: ignore[no-untyped-def]
        return self._broker.bucket(names.JOBS)

    async def create(self, job: Job) -> bool:
        """Write the record of a new job; False where there is another one with its id."""

        async def write() -> int | None:
            revision = await self._broker.create(
                names.JOBS, _key(job.tenant, job.id), job.model_dump_json().encode()
            )
            if revision is not None:
                return revision
            # The write may have been ours, its answer lost.
            found = await self._read(job.tenant, job.id)
            return found[1] if found is not None and found[0] == job else None

        return self._told(job, await self._broker.lasting(write))

    def _told(self, job: Job, revision: int | None) -> bool:
        """Tell of a record that was written; None: it was not."""
        if revision is not None and self._heard is not None:
            self._heard(job.tenant, job.id, job, revision)
        return revision is not None

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

            async def write(text: bytes = text, revision: int = revision) -> int | None:
                with suppress(KeyWrongLastSequenceError):
                    return int(await self._kv.update(_key(tenant, id), text, last=revision))
                return None

            written = await self._broker.lasting(write)
            if written is None:
                # The write may have been ours, its answer lost: then the record is as it was wanted.
                now = await self._read(tenant, id)
                written = now[1] if now is not None and now[0] == wanted else None
            if self._told(wanted, written):
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
