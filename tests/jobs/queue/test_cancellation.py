"""A cancellation at the moment of a result, which `asyncio.wait_for` of Python 3.11 loses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from lipserve_jobs.queue import cancellation
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from tests.support.nats import NatsServer


async def _cancelled_with(result: int | Exception, wait: Callable[[asyncio.Future[int]], Any]) -> bool:
    """Cancel a task at the moment at which what it waits for ends, and tell whether it ends by that."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        await wait(future)
        await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    task.cancel()
    await asyncio.wait([task], timeout=0.2)
    ended = task.done() and task.cancelled()
    task.cancel()
    await asyncio.wait([task])
    return ended


@pytest.mark.parametrize("result", [3, TimeoutError()], ids=["a result", "an error that is passed over"])
def test_a_cancellation_is_kept(result: int | Exception) -> None:
    async def wait(future: asyncio.Future[int]) -> None:
        with cancellation.kept(), suppress(TimeoutError):
            await asyncio.wait_for(future, 60)

    assert asyncio.run(_cancelled_with(result, wait))


def test_what_is_not_cancelled_goes_on() -> None:
    async def test() -> int:
        with cancellation.kept():
            return await asyncio.wait_for(asyncio.sleep(0, 5), 60)

    assert asyncio.run(test()) == 5


def test_one_who_cleans_up_after_a_cancellation_may_still_wait() -> None:
    cleaned = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with cancellation.kept():
                cleaned.append(await asyncio.wait_for(asyncio.sleep(0, 7), 60))

    async def test() -> bool:
        task: asyncio.Task[None] = asyncio.create_task(run())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(test())
    assert cleaned == [7]


def test_a_call_to_nats_keeps_it(nats: NatsServer) -> None:
    async def test() -> bool:
        broker = await Broker.open(BrokerOptions(nats.url))

        def wait(future: asyncio.Future[int]) -> Coroutine[Any, Any, int]:
            return broker.lasting(lambda: asyncio.wait_for(future, 60))

        try:
            return await _cancelled_with(3, wait)
        finally:
            await broker.close()

    assert asyncio.run(test())
