"""Several servers that serve the same models, as one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lipserve.errors import ConnectError, LipServeError, OptionsError
from lipserve_client._balancer import Balancer
from lipserve_client._config import REQUEST_SECONDS, TLS
from lipserve_client._connection import Connection
from lipserve_client._retry import Retry
from lipserve_client._transports import Answer, Call, Transport

TransportFactory = Callable[[Connection], Transport]


@dataclass(frozen=True)
class Answered:
    """What a call came back with: the outputs, and how often it was sent again."""

    tensors: Answer
    retries: int


class Fleet:
    """Sends each call to one server, and where that fails to another, as `Retry` says."""

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
            await connection.reach()
            return await self._transports[server].infer(call, timeout)
        except ConnectError:
            connection.lost()
            self._balancer.failed(server)
            raise

    async def close(self) -> None:
        """Give back what the transports hold, and end every connection."""
        for transport in self._transports:
            await transport.close()
        for connection in self.connections:
            connection.close()
