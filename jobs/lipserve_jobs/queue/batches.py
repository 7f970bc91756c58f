"""The records of batches, in a bucket: key `tenant.id`, value the JSON of the record."""

from __future__ import annotations

from contextlib import suppress

from nats.js.errors import KeyNotFoundError

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.records.batch import Batch


class Batches:
    """Reads and writes the records of batches."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def get(self, tenant: str, id: str) -> Batch | None:
        """Return a record, or None."""

        async def read() -> Batch | None:
            with suppress(KeyNotFoundError):
                entry = await self._broker.bucket(names.BATCHES).get(f"{tenant}.{id}")
                return Batch.model_validate_json(entry.value or b"")
            return None

        return await self._broker.lasting(read)

    async def put(self, batch: Batch) -> None:
        """Write a record."""
        bucket = self._broker.bucket(names.BATCHES)
        text = batch.model_dump_json().encode()
        await self._broker.lasting(lambda: bucket.put(f"{batch.tenant}.{batch.id}", text))

    async def forget(self, tenant: str, id: str) -> None:
        """Remove a record."""
        bucket = self._broker.bucket(names.BATCHES)
        await self._broker.lasting(lambda: bucket.purge(f"{tenant}.{id}"))

    async def cancel(self, tenant: str, id: str) -> Batch | None:
        """Cancel a batch, and return its record; None: there is none. Only this changes a record."""
        batch = await self.get(tenant, id)
        if batch is not None and batch.state != "cancelled":
            batch = batch.model_copy(update={"state": "cancelled"})
            await self.put(batch)
        return batch
