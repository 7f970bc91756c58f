"""Regions whose tidying is given up, before a server that takes its time to forget them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lipserve.errors import InternalError
from lipserve_client._connection import Connection
from lipserve_client._transports.base import Answer, Call, Expected, Value
from lipserve_client._transports.regions import SMALL, Lease, Region, SharedMemoryTransport
from tests.support.scripted_triton import ScriptedTriton, StartTriton


class Recorded(Region):
    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.freed = False

    def write(self, value: Value) -> None:
        pass

    def read_bytes(self, size: int) -> bytes:
        return bytes(size)

    def free(self) -> None:
        self.freed = True


class Gated(SharedMemoryTransport):
    """Its server forgets a region once `open` is set; `asked` is set by the first to ask."""

    def __init__(self) -> None:
        super().__init__(Connection("127.0.0.1:1"))
        self.made: list[Recorded] = []
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    def carries(self, dtype: str) -> bool:
        return True

    def allocate(self, size: int) -> Region:
        self.made.append(Recorded(str(len(self.made)), size))
        return self.made[-1]

    async def register(self, region: Region) -> None:
        pass

    async def unregister(self, region: Region) -> None:
        self.asked.set()
        await self.open.wait()

    def freed(self) -> list[bool]:
        return [region.freed for region in self.made]


async def _give_up(transport: Gated, tidying: asyncio.Task[object]) -> None:
    """Cancel a task that waits for the server to forget, and open the gate after that."""
    await transport.asked.wait()
    tidying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tidying
    transport.open.set()


def test_a_lease_that_is_cancelled_leaves_its_regions_for_later() -> None:
    async def scenario() -> None:
        transport = Gated()
        lease = Lease(transport)
        for _ in range(3):
            await lease.take(SMALL)
        await _give_up(transport, asyncio.create_task(lease.end()))
        assert transport.freed() == [False] * 3
        await transport.close()
        assert transport.freed() == [True] * 3

    asyncio.run(scenario())


def test_a_call_that_is_cancelled_while_it_tidies_for_earlier_ones_drops_none() -> None:
    async def scenario() -> None:
        transport = Gated()
        transport.lingering.extend(transport.allocate(SMALL) for _ in range(3))
        call = transport.infer(Call("model", {}, {}), 1.0)
        await _give_up(transport, asyncio.create_task(call))
        assert transport.freed() == [False] * 3
        await transport.close()
        assert transport.freed() == [True] * 3

    asyncio.run(scenario())


class Filled(Recorded):
    """Holds a text of five bytes, as a server would have left it."""

    def read_bytes(self, size: int) -> bytes:
        return (b"\5\0\0\0film!" + bytes(self.size))[:size]


class Reading(Gated):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.connection = Connection(url)
        self.open.set()

    def allocate(self, size: int) -> Region:
        return Filled("0", size)


def _answered(triton: ScriptedTriton, datatype: str, shape: list[int], expected: Expected) -> Answer:
    """Return what a call gives whose output a server says to have left in shared memory."""

    def step(request: object) -> object:
        response = service_pb2.ModelInferResponse(model_name="model", model_version="1")
        response.outputs.add(name="RESULT", datatype=datatype, shape=shape)
        response.raw_output_contents.append(b"")
        return response

    triton.script.append(step)
    transport = Reading(triton.url)
    try:
        return asyncio.run(transport.infer(Call("model", {}, {"RESULT": expected}), 5.0))
    finally:
        transport.connection.close()


def test_a_result_in_a_region_is_read(start_triton: StartTriton) -> None:
    text = _answered(start_triton(), "BYTES", [1], Expected(size=SMALL))
    assert text == {"RESULT": b"film!"}
    array = _answered(start_triton(), "UINT8", [3, 3], Expected("UINT8", SMALL))["RESULT"]
    assert isinstance(array, np.ndarray)
    assert array.tobytes() == b"\5\0\0\0film!"


@pytest.mark.parametrize(
    ("datatype", "shape", "expected"),
    [
        ("BYTES", [2], Expected(size=SMALL)),
        ("UINT8", [9], Expected(size=SMALL)),
        ("UINT8", [SMALL + 1], Expected("UINT8", SMALL)),
        ("UINT8", [2**62, 2**62], Expected("UINT8", SMALL)),
        ("UINT8", [-1], Expected("UINT8", SMALL)),
        ("NOPE", [1], Expected("UINT8", SMALL)),
    ],
)
def test_a_result_that_cannot_lie_in_a_region_is_a_typed_error(
    datatype: str, shape: list[int], expected: Expected, start_triton: StartTriton
) -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        _answered(start_triton(), datatype, shape, expected)
