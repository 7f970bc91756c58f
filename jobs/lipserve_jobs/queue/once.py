"""Idempotency keys: a request that is sent twice makes one job. They last for a day."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress

from nats.js.errors import KeyNotFoundError
from pydantic import BaseModel, ConfigDict

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker


class Claim(BaseModel):
    """What a key was first used for: the SHA-256 of the request, and the id that it made."""

    model_config = ConfigDict(frozen=True)

    digest: str
    id: str


class Once:
    """Keeps what each tenant's keys were used for."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def claim(self, tenant: str, key: str, claim: Claim) -> Claim:
        """Return what a key was first used for: `claim`, where it was not used yet."""
        name = f"{tenant}.{hashlib.sha256(key.encode()).hexdigest()}"
        bucket = self._broker.bucket(names.KEYS)

        async def first() -> Claim:
            while True:
                if await self._broker.create(names.KEYS, name, claim.model_dump_json().encode()):
                    return claim
                with suppress(KeyNotFoundError):
                    return Claim.model_validate_json((await bucket.get(name)).value or b"")
                await asyncio.sleep(0.05)  # another's is being written, or has expired this moment

        return await self._broker.lasting(first)
