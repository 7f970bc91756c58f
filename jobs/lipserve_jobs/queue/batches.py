"""The records of batches, in a bucket: key `tenant.id`, value the JSON of the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KV_DEL, KV_PURGE

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.records.batch import Batch


class Batches:
    """Reads and changes the records of batches."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def get(self, tenant: str, id: str) -> Batch | None:
        """Return a record, or None."""
        found = await self._read(tenant, id)
        return found and found[0]

    async def all(self) -> list[Batch]:
        """Return the records of all tenants."""
        return await self._broker.lasting(self._all)

    async def create(self, batch: Batch) -> None:
        """Write the record of a new batch; one that is there stays as it is."""
        key, text = f"{batch.tenant}.{batch.id}", batch.model_dump_json().encode()
        await self._broker.lasting(lambda: self._broker.create(names.BATCHES, key, text))

    async def forget(self, tenant: str, id: str) -> None:
        """Remove a record."""
        bucket = self._broker.bucket(names.BATCHES)
        await self._broker.lasting(lambda: bucket.purge(f"{tenant}.{id}"))

    async def cancel(self, tenant: str, id: str) -> Batch | None:
        """Cancel a batch, and return its record; None: there is none."""
        return await self._change(tenant, id, lambda now: now.model_copy(update={"state": "cancelled"}))

    async def expanded(self, tenant: str, id: str) -> None:
        """Write down that every row has become a job."""
        await self._change(tenant, id, lambda now: now.model_copy(update={"expanded": True}))

    async def erased(self, tenant: str, id: str, jobs: Iterable[str]) -> None:
        """Write down that jobs, by their ids, are erased; whoever makes jobs of rows then leaves them out."""
        ids = tuple(jobs)
        await self._change(tenant, id, lambda now: now.without(ids))

    async def _change(self, tenant: str, id: str, change: Callable[[Batch], Batch]) -> Batch | None:
        """Change a record by compare-and-set, and return it as it is then; None: there is none."""
        bucket = self._broker.bucket(names.BATCHES)
        while (found := await self._read(tenant, id)) is not None:
            batch, revision = found
            wanted = change(batch)
            if wanted == batch:
                return batch
            text = wanted.model_dump_json().encode()

            async def write(text: bytes = text, revision: int = revision) -> None:
                with suppress(KeyWrongLastSequenceError):  # another was faster, or this was, its answer lost
                    await bucket.update(f"{tenant}.{id}", text, last=revision)

            await self._broker.lasting(write)
        return None

    async def _read(self, tenant: str, id: str) -> tuple[Batch, int] | None:
        async def read() -> tuple[Batch, int] | None:
            with suppress(KeyNotFoundError):
                entry = await self._broker.bucket(names.BATCHES).get(f"{tenant}.{id}")
                return Batch.model_validate_json(entry.value or b""), entry.revision or 0
            return None

        return await self._broker.lasting(read)

    async def _all(self) -> list[Batch]:
        watcher = await self._broker.bucket(names.BATCHES).watchall()
        found = []
        try:
            async for entry in watcher:
                if entry is None:
                    break
                if entry.operation not in (KV_DEL, KV_PURGE) and entry.value:
                    found.append(Batch.model_validate_json(entry.value))
        finally:
            with suppress(Exception):
                await watcher.stop()  # type: ignore[no-untyped-call]
        return found
