from __future__ import annotations

import asyncio
import threading
import time

import pytest

from lipserve import CancelToken
from lipserve.errors import CancelledError
from lipserve_client._client import drive


async def _sleep(token: CancelToken, seconds: float = 30.0) -> str:
    with token.watch():
        await asyncio.sleep(seconds)
    return "slept"


def test_a_token_ends_a_call_from_another_thread() -> None:
    token = CancelToken()
    threading.Timer(0.1, token.cancel).start()
    began = time.perf_counter()
    with pytest.raises(CancelledError):
        drive(_sleep(token))
    assert time.perf_counter() - began < 25  # of the 30 s that it sleeps
    assert token.cancelled


def test_a_second_cancel_changes_nothing() -> None:
    token = CancelToken()

    def both() -> None:
        token.cancel()
        token.cancel()

    threading.Timer(0.1, both).start()
    with pytest.raises(CancelledError):
        drive(_sleep(token))


def test_a_cancelled_token_stops_later_calls_before_they_start() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError, match="before"):
        drive(_sleep(token, 0))


def test_a_cancel_after_the_call_has_no_effect() -> None:
    token = CancelToken()

    async def twice() -> str:
        first = await _sleep(token, 0)
        token.cancel()
        await asyncio.sleep(0.01)
        return first

    assert drive(twice()) == "slept"


def test_a_cancelled_task_stays_asyncios_own() -> None:
    async def outer() -> None:
        task = asyncio.create_task(_sleep(CancelToken()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    drive(outer())


def test_driving_works_where_a_loop_runs_already() -> None:
    async def notebook() -> str:
        return drive(_sleep(CancelToken(), 0))

    assert asyncio.run(notebook()) == "slept"
