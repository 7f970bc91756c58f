"""Locks that all gateways share; one that nobody lengthens for a minute is free again."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker

_LENGTHEN_SECONDS = 20.0


class TakenError(Exception):
    """Somebody else has the lock."""


class Lock:
    """A lock that is held."""

    def __init__(self, broker: Broker, key: str) -> None:
        self._broker, self._key = broker, key
        self._mine = secrets.token_hex(8).encode()
        self._revision, self._since = 0, time.monotonic()

    async def take(self) -> None:
        """Take it; TakenError where somebody else has it."""

        async def create() -> int | None:
            revision = await self._broker.create(names.LOCKS, self._key, self._mine)
            if revision is not None:
                return revision
            with suppress(KeyNotFoundError):  # an answer that was lost may have been that we have it
                entry = await self._broker.bucket(names.LOCKS).get(self._key)
                return entry.revision if entry.value == self._mine else None
            return None

        found = await self._broker.lasting(create)
        if found is None:
            raise TakenError(self._key)
        self._revision = found

    async def lengthen(self) -> None:
        """Keep it for another minute; TakenError where it was lost. It costs nothing for 20 s."""
        if time.monotonic() - self._since < _LENGTHEN_SECONDS:
            return
        try:
            self._revision = await self._broker.lasting(
                lambda: self._broker.bucket(names.LOCKS).update(self._key, self._mine, last=self._revision)
            )
        except KeyWrongLastSequenceError as error:
            raise TakenError(self._key) from error
        self._since = time.monotonic()

    async def free(self) -> None:
        """Give it back; where that fails it is free in a minute."""
        with suppress(Exception):
            await self._broker.bucket(names.LOCKS).delete(self._key, last=self._revision)


@asynccontextmanager
async def locked(broker: Broker, key: str) -> AsyncIterator[Lock]:
    """Hold a lock; TakenError where somebody else has it."""
    lock = Lock(broker, key)
    await lock.take()
    try:
        yield lock
    finally:
        await lock.free()
