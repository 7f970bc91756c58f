"""Tensors in memory shared with the server: the common part of system and CUDA memory.

A call's large tensors get a region each; its regions live as long as the call. An output that does not fit
is asked for again with a region that it fits in, and later calls start from that size.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import triton_to_np_dtype

from lipserve.errors import ConnectError, InternalError, LipServeError, SetupError
from lipserve_client._connection import Connection
from lipserve_client._transports.base import (
    Answer,
    Call,
    Expected,
    Transport,
    Value,
    describe,
    dtype_of,
    from_message,
    in_message,
    serialised_size,
    tensor,
    wanted,
)

SMALL = 1 << 16  # bytes; registering a region costs more than so much in the message
_TOO_SMALL = re.compile(
    r"shared memory size specified with the request for output '(?P<name>\w+)' \(\d+ bytes\) "
    r"should be at least (?P<size>\d+) bytes"
)
_GROWTH = 1.25  # headroom over a size that was needed once
_CLOSE_SECONDS = 10.0  # a step that was given up runs on to its end, seconds as a rule
_TRIES = 3
_IN_USE = "currently in use"


class Region(ABC):
    """A stretch of shared memory.

    Attributes:
        name: unique among all clients of the server.
        size: bytes.
    """

    name: str
    size: int

    @abstractmethod
    def write(self, value: Value) -> None:
        """Write a tensor at the start, in Triton's serialisation."""

    @abstractmethod
    def read_bytes(self, size: int) -> bytes:
        """Return the first `size` bytes."""

    @abstractmethod
    def free(self) -> None:
        """Free the memory. Idempotent."""


class SharedMemoryTransport(Transport):
    """Large tensors through regions, small ones in the message.

    Attributes:
        lingering: regions that could not be given back: the server still works on them, or the call was
            given up while it tidied. Later calls and `close` try again.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._needed: dict[str, int] = {}  # largest size that an output of that name has asked for
        self.lingering: deque[Region] = deque()

    @abstractmethod
    def carries(self, dtype: str) -> bool:
        """Whether tensors of Triton's `dtype` travel in this kind of memory."""

    @abstractmethod
    def allocate(self, size: int) -> Region:
        """Return a new region, or raise a typed error."""

    @abstractmethod
    async def register(self, region: Region) -> None:
        """Make `region` known to the server."""

    @abstractmethod
    async def unregister(self, region: Region) -> None:
        """Remove `region` from the server."""

    async def close(self) -> None:
        """Free everything; wait, up to a limit, for a region that the server still uses."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        await self._forget_lingering()
        while self.lingering and time.monotonic() < deadline:
            await asyncio.sleep(0.25)
            await self._forget_lingering()

    async def infer(self, call: Call, timeout: float) -> Answer:
        await self._forget_lingering()
        for attempt in range(_TRIES):
            lease = Lease(self)
            try:
                return await self._attempt(call, timeout, lease)
            except InternalError as error:
                short = _TOO_SMALL.search(str(error))
                if short is None or attempt == _TRIES - 1:
                    raise
                self._needed[short["name"]] = int(int(short["size"]) * _GROWTH)
            finally:
                await asyncio.shield(lease.end())
        raise AssertionError("the last attempt returns or raises")

    async def give_back(self, region: Region) -> None:
        """Unregister and free `region`, or keep it for later if the server still uses it."""
        forgotten = False
        try:
            forgotten = await self._forgotten(region)
        finally:
            if forgotten:
                region.free()
            else:
                self.lingering.append(region)

    async def _forgotten(self, region: Region) -> bool:
        for pause in (0.05, 0.2, None):  # Triton 24.10 fails to unregister large regions now and then
            try:
                await self.unregister(region)
            except ConnectError:  # the server is gone, and what it knew with it
                return True
            except LipServeError as error:
                if pause is None or _IN_USE in str(error):
                    break
                await asyncio.sleep(pause)
            else:
                return True
        return False

    async def _forget_lingering(self) -> None:
        for _ in range(len(self.lingering)):  # those that come back to it wait for the next time
            try:
                region = self.lingering.popleft()
            except IndexError:  # another call has taken the rest
                return
            await self.give_back(region)

    async def _attempt(self, call: Call, timeout: float, lease: Lease) -> Answer:
        inputs = [await self._send(name, value, lease) for name, value in call.inputs.items()]
        outputs = [await self._expect(name, expected, lease) for name, expected in call.outputs.items()]
        result = await self.connection.infer(call.model, inputs, outputs, timeout)
        return {
            name: _receive(result, name, expected, lease.outputs.get(name))
            for name, expected in call.outputs.items()
        }

    async def _send(self, name: str, value: Value, lease: Lease) -> InferInput:
        size = serialised_size(value)
        if size < SMALL or not self.carries(dtype_of(value)):
            return in_message(name, value)
        region = await lease.take(size)
        await lease.work(region.write, value)
        return describe(name, value).set_shared_memory(region.name, size)

    async def _expect(self, name: str, expected: Expected, lease: Lease) -> InferRequestedOutput:
        output = wanted(name)
        if expected.size >= SMALL and self.carries(expected.dtype):
            region = await lease.take(max(expected.size, self._needed.get(name, 0)))
            lease.outputs[name] = region
            output.set_shared_memory(region.name, region.size)
        return output


class Lease:
    """The regions of one call."""

    def __init__(self, transport: SharedMemoryTransport) -> None:
        self._transport = transport
        self._regions: list[Region] = []
        self._work: list[asyncio.Future[None]] = []
        self.outputs: dict[str, Region] = {}

    async def take(self, size: int) -> Region:
        await self.work(lambda: self._regions.append(self._transport.allocate(size)))
        region = self._regions[-1]
        try:
            await self._transport.register(region)
        except SetupError:  # refused: the server has nothing to forget
            self._regions.remove(region)
            region.free()
            raise
        return region

    async def work(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in a thread; it runs on if the call is cancelled meanwhile: see `end`."""
        done = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        self._work.append(done)
        await asyncio.shield(done)

    async def end(self) -> None:
        """Give back every region once no thread works on one, also where the server is gone.

        Cancelled, as by an event loop that ends, it leaves the rest to the transport.
        """
        try:
            await asyncio.gather(*self._work, return_exceptions=True)
            while self._regions:
                await self._transport.give_back(self._regions.pop())
        finally:
            self._transport.lingering.extend(self._regions)


def _receive(result: InferResult, name: str, expected: Expected, region: Region | None) -> Value:
    output = result.get_output(name)
    if region is None or output is None:
        return from_message(result, name, expected)
    if output.datatype == "BYTES":  # Triton tells no length: it stands before the element
        size = 4 + int.from_bytes(region.read_bytes(4), "little")
    else:
        size = math.prod(output.shape) * np.dtype(triton_to_np_dtype(output.datatype) or np.uint8).itemsize
    return tensor(output, region.read_bytes(min(max(size, 0), region.size)), expected)
