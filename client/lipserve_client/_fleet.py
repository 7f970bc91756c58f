"""Several servers as one: load balancing and retries."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lipserve.errors import (
    ConnectError,
    LipServeError,
    ModelNotFoundError,
    OptionsError,
    ProcessDiedError,
)
from lipserve_client._config import REQUEST_SECONDS, TLS
from lipserve_client._connection import Connection
from lipserve_client._transports import Answer, Call, Transport

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 8.0
DEATHS = 4  # of processes at one request: it may be what ends them, and is not sent again
RETRIES = 16  # where the caller does not say: pauses of 51 to 103 s in all, so that a server may be restarted
FIRST_CONTACT_DELAY = 0.2  # before the one more try of a server that never answered
FIRST_REST = 1.0  # seconds that a server which did not answer is put aside; doubles every time
LONGEST_REST = 30.0

TransportFactory = Callable[[Connection], Transport]


@dataclass
class Retry:
    """Counts the tries of one request and decides on the next.

    Args:
        retries: how often all servers may be asked again, after a pause each time.
        servers: how many there are to send it to.
        rng: source of the jitter.

    Attributes:
        avoid: servers that failed since the last wait, or lack the model; the next try goes elsewhere.
        used: how often it was sent again.
    """

    retries: int
    servers: int
    rng: random.Random
    avoid: set[int] = field(default_factory=set)
    used: int = 0
    _lacking: set[int] = field(default_factory=set)
    _rounds: int = 0
    _deaths: int = 0

    def after(self, error: LipServeError, server: int, known: bool) -> float | None:
        """Return the seconds to wait before the next try, or None where `error` is final.

        Args:
            server: which one failed.
            known: whether any server has ever answered: a fleet that never did is given one more try only.
        """
        self.avoid.add(server)
        self._deaths += isinstance(error, ProcessDiedError)
        if isinstance(error, ModelNotFoundError):  # this server is not asked again, so it costs no try
            self._lacking.add(server)
            if len(self._lacking) == self.servers:
                return None
        elif not error.retryable or self._rounds >= self.retries or self._deaths == DEATHS:
            return None
        else:
            self.used += 1
        return 0.0 if len(self.avoid) < self.servers else self._pause(error, known)

    def _pause(self, error: LipServeError, known: bool) -> float | None:
        self.avoid = set(self._lacking)
        self._rounds += 1
        if isinstance(error, ConnectError) and not known:
            return FIRST_CONTACT_DELAY if self._rounds == 1 else None
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._rounds - 1))
        return float(longest * self.rng.uniform(0.5, 1.0))


class Balancer:
    """Round-robin over `count` servers; a failing one is avoided for a while. Thread-safe.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0
        self._failures = [0] * count
        self._resting_until = [0.0] * count

    def pick(self, avoid: Collection[int] = ()) -> int:
        """Return the next server not in `avoid`, if possible one that does not fail.

        Where all are to be avoided, none is. Where all are put aside, the one whose rest ends first.
        """
        with self._lock:
            count = len(self._failures)
            order = [(self._next + step) % count for step in range(count)]
            allowed = [i for i in order if i not in avoid] or order
            now = self._clock()
            awake = [i for i in allowed if self._resting_until[i] <= now]
            chosen = awake[0] if awake else min(allowed, key=lambda i: self._resting_until[i])
            self._next = (chosen + 1) % count
            return chosen

    def failed(self, server: int) -> None:
        """Avoid `server` for a while, longer after each failure in a row."""
        with self._lock:
            rest = min(LONGEST_REST, FIRST_REST * 2 ** self._failures[server])
            self._failures[server] += 1
            self._resting_until[server] = self._clock() + rest

    def worked(self, server: int) -> None:
        """Use `server` again."""
        with self._lock:
            self._failures[server] = 0
            self._resting_until[server] = 0.0


@dataclass(frozen=True)
class Answered:
    """The outputs of a call, and the number of retries."""

    tensors: Answer
    retries: int


class Fleet:
    """Sends each call to one server and, if that fails, to another, as `Retry` decides."""

    def __init__(
        self,
        urls: Sequence[str],
        transport: TransportFactory,
        *,
        tls: TLS | None,
        headers: Mapping[str, str | bytes] | None,
        retries: int,
        rng: random.Random | None = None,
    ) -> None:
        if retries < 0:
            raise OptionsError(f"retries={retries} is negative.", "Give 0 or more.")
        self.connections = [Connection(url, tls, headers) for url in urls]
        self._transports = [transport(connection) for connection in self.connections]
        self._balancer = Balancer(len(urls))
        self._retries = retries
        self._rng = rng or random.Random()

    async def infer(self, call: Call, timeout: float = REQUEST_SECONDS) -> Answered:
        """Return the answer to `call` from any server.

        Args:
            timeout: seconds, of each try.
        """
        retry = Retry(self._retries, len(self.connections), self._rng)
        while True:
            server = self._balancer.pick(retry.avoid)
            try:
                tensors = await self._try(server, call, timeout)
            except LipServeError as error:
                known = any(connection.answered for connection in self.connections)
                delay = retry.after(error, server, known)
                if delay is None:
                    raise
                await asyncio.sleep(delay)
            else:
                self._balancer.worked(server)
                return Answered(tensors, retry.used)

    async def _try(self, server: int, call: Call, timeout: float) -> Answer:
        connection = self.connections[server]
        try:
            await self._transports[server].reach()
            return await self._transports[server].infer(call, timeout)
        except ConnectError:
            connection.lost()
            self._balancer.failed(server)
            raise

    async def close(self) -> None:
        """Release the transports' memory and close every connection."""
        for transport in self._transports:
            await transport.close()
        for connection in self.connections:
            connection.close()
