"""The connection to NATS: it outlives restarts of the servers, and makes the streams that are missing."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from nats.aio.client import Client as Nats
from nats.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    Error,
    NoRespondersError,
    NoServersError,
    OutboundBufferLimitError,
    StaleConnectionError,
)
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import (
    BadRequestError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    ServerError,
    ServiceUnavailableError,
)
from nats.js.kv import KeyValue

from lipserve.errors import ConnectError, SetupError
from lipserve_jobs.queue import cancellation, names

log = logging.getLogger("lipserve.jobs")
T = TypeVar("T")
DAY = 86_400.0
_IN_USE = 10058  # the code of NATS for the name of a stream that exists


class _FormingError(Exception):
    """NATS cannot make a stream now: its servers have not found each other yet."""


_PASSING = (
    _FormingError,
    asyncio.TimeoutError,
    NoRespondersError,
    NoServersError,
    ConnectionClosedError,
    ConnectionReconnectingError,
    OutboundBufferLimitError,
    StaleConnectionError,
    ServiceUnavailableError,
    NoStreamResponseError,
    ServerError,
)


@dataclass(frozen=True)
class BrokerOptions:
    """How NATS is reached.

    Attributes:
        servers: nats://host:port, several with commas. credentials: file of a user's credentials, or
            None. ca: PEM file of who signed the servers' certificates, for tls://.
        replicas: of streams and buckets; 3 in a cluster of three.
        patience: seconds that a call goes on while the servers are away.
    """

    servers: str = "nats://127.0.0.1:4222"
    credentials: str | None = None
    ca: str | None = None
    replicas: int = 1
    patience: float = 60.0


class Broker:
    """A connection, with the buckets by name."""

    def __init__(self, nc: Nats, options: BrokerOptions) -> None:
        self.nc, self._options = nc, options
        self.js: JetStreamContext = nc.jetstream(timeout=5)
        self._buckets: dict[str, KeyValue] = {}

    @classmethod
    async def open(cls, options: BrokerOptions) -> Self:
        """Connect, and make what is missing.

        Raises:
            ConnectError: nobody answers within `patience`. SetupError: the credentials are not right.
        """
        nc = await _connect(options)
        broker = cls(nc, options)
        try:
            await broker.lasting(broker._make_streams)
        except BaseException:
            await broker.close()
            raise
        return broker

    async def close(self) -> None:
        if not self.nc.is_closed:
            await self.nc.close()

    def bucket(self, name: str) -> KeyValue:
        return self._buckets[name]

    async def lasting(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call returns; while NATS is away, or elects a leader, it is made again.

        So a call may be carried out twice: it must bear that.

        Raises:
            ConnectError: it was away for longer than `patience`.
        """
        began, pause = time.monotonic(), 0.05
        while True:
            try:
                with cancellation.kept():
                    return await call()
            except _PASSING as error:
                if time.monotonic() - began > self._options.patience:
                    raise ConnectError(
                        f"NATS does not answer ({type(error).__name__}: {error}).",
                        "Look at its servers' logs.",
                    ) from error
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(2.0, pause * 2)

    async def create(self, bucket: str, key: str, value: bytes) -> int | None:
        """Write a key that is not there yet, and return its revision; None: it is there.

        Another's write of this moment may be refused to us before it can be read.
        """
        with suppress(KeyWrongLastSequenceError, KeyNotFoundError):
            return int(await self._buckets[bucket].create(key, value))
        return None

    async def _make_streams(self) -> None:
        for config in _streams(self._options.replicas):
            try:
                await self.js.add_stream(config)
            except BadRequestError as error:  # it is there, with other settings: those of now
                _check_there(error)
                await self.js.update_stream(config)
        for bucket in _kept(self._options.replicas):
            try:
                self._buckets[bucket.bucket] = await self.js.create_key_value(bucket)
            except BadRequestError as error:
                _check_there(error)
                self._buckets[bucket.bucket] = await self.js.key_value(bucket.bucket)


def _check_there(error: BadRequestError) -> None:
    """Raise _FormingError where a stream is refused for another reason than that it is there."""
    if error.err_code != _IN_USE:
        raise _FormingError(error.description) from error


async def _connect(options: BrokerOptions) -> Nats:
    """Return a connection; the client itself tries for ever, so this is what ends it."""
    more: dict[str, Any] = {"reconnect_time_wait": 0.2}
    if options.credentials is not None:
        more["user_credentials"] = options.credentials
    if options.ca is not None:
        import ssl

        more["tls"] = ssl.create_default_context(cafile=options.ca)
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    last = "nobody listens"

    async def told(error: Exception) -> None:
        nonlocal last
        if not str(error):
            return
        last = str(error)
        log.warning("NATS: %s", error)
        if "authorization" in last.lower() and not refused.done():
            refused.set_result(last)

    nc = Nats()
    connecting = asyncio.create_task(
        nc.connect(
            servers=options.servers.split(","),
            max_reconnect_attempts=-1,
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=told,
            allow_reconnect=True,
            **more,
        )
    )
    try:
        either: set[asyncio.Future[Any]] = {connecting, refused}
        await asyncio.wait(either, timeout=options.patience, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            connecting.result()
            return nc
    except (OSError, Error) as error:
        last = str(error)
    finally:
        if not nc.is_connected:
            connecting.cancel()
            await asyncio.wait([connecting])
            with suppress(Exception):
                await nc.close()
    if refused.done():
        raise SetupError(f"NATS refuses us: {refused.result()}.", "Give its credentials.")
    raise ConnectError(f"NATS does not answer ({last}).", "Start it, or give its address with --nats.")


def _streams(replicas: int) -> Sequence[StreamConfig]:
    both: dict[str, Any] = {"num_replicas": replicas, "storage": StorageType.FILE}
    both["discard"] = DiscardPolicy.NEW
    queue: dict[str, Any] = {**both, "retention": RetentionPolicy.WORK_QUEUE}
    return (
        StreamConfig(name=names.WORK, subjects=["lipserve.work.>"], duplicate_window=120, **queue),
        StreamConfig(name=names.HOOKS, subjects=["lipserve.hooks.>"], duplicate_window=3600, **queue),
        StreamConfig(name=names.DEAD, subjects=["lipserve.dead.>"], max_age=30 * DAY, **both),
    )


def _kept(replicas: int) -> Sequence[KeyValueConfig]:
    lasting: dict[str, Any] = {"history": 1, "replicas": replicas, "direct": False}
    return (
        KeyValueConfig(bucket=names.JOBS, **lasting),
        KeyValueConfig(bucket=names.BATCHES, **lasting),
        KeyValueConfig(bucket=names.USAGE, **lasting),
        KeyValueConfig(bucket=names.TIERS, **lasting),
        KeyValueConfig(bucket=names.RETURNS, ttl=2 * DAY, **lasting),
        KeyValueConfig(bucket=names.KEYS, ttl=DAY, **lasting),
        KeyValueConfig(bucket=names.LOCKS, ttl=60, **lasting),
    )
