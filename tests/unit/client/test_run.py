from __future__ import annotations

import asyncio
import random
import time

import pytest

from lipserve import cancellation
from lipserve.errors import SetupError, StorageError
from lipserve_client._cancel import in_thread
from lipserve_client._run import in_order


def test_results_come_in_order_and_the_window_is_bounded() -> None:
    rng = random.Random(3)
    flying = held = most_flying = most_held = 0
    accepted: list[int] = []

    async def work(index: int) -> int:
        nonlocal flying, held, most_flying, most_held
        flying, held = flying + 1, held + 1
        most_flying, most_held = max(most_flying, flying), max(most_held, held)
        await asyncio.sleep(0.05 if index == 4 else rng.random() * 0.004)
        flying -= 1
        return index * 10

    async def accept(index: int, result: int) -> None:
        nonlocal held
        assert result == index * 10
        accepted.append(index)
        await asyncio.sleep(0)
        held -= 1

    asyncio.run(in_order(60, work, accept, 3))
    assert accepted == list(range(60))
    assert most_flying == 3
    assert most_held <= 6


@pytest.mark.parametrize("failing", [0, 3, 9])
def test_the_first_failure_cancels_the_rest(failing: int) -> None:
    begun: set[int] = set()
    cancelled: set[int] = set()

    async def work(index: int) -> int:
        begun.add(index)
        if index == failing:
            raise ValueError(f"segment {index}")
        try:
            await asyncio.sleep(0.001 if index < failing else 30)
        except asyncio.CancelledError:
            cancelled.add(index)
            raise
        return index

    async def accept(index: int, result: int) -> None:
        assert index < failing

    began = time.perf_counter()
    with pytest.raises(ValueError, match=f"segment {failing}"):
        asyncio.run(in_order(10, work, accept, 4))
    assert time.perf_counter() - began < 25  # of the 30 s that the others sleep
    assert cancelled >= {index for index in begun if index > failing}


def test_a_failure_while_joining_cancels_too() -> None:
    cancelled: list[int] = []

    async def work(index: int) -> int:
        try:
            await asyncio.sleep(30 if index else 0)
        except asyncio.CancelledError:
            cancelled.append(index)
            raise
        return index

    async def accept(index: int, result: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(in_order(5, work, accept, 3))
    assert sorted(cancelled) == [1, 2, 3][: len(cancelled)]
    assert cancelled


def test_a_thread_is_waited_for_where_it_cannot_be_stopped() -> None:
    ended: list[float] = []

    def slow() -> None:
        time.sleep(0.2)
        ended.append(time.perf_counter())

    async def given_up() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(slow)
        return time.perf_counter()

    left = asyncio.run(given_up())
    assert ended
    assert ended[0] <= left


def test_a_full_disk_here_is_no_failure_of_the_server() -> None:
    def fill() -> None:
        raise StorageError("out.mp4 cannot be written: the disk is full.", "Free space there.")

    with pytest.raises(SetupError, match="Free space"):
        asyncio.run(in_thread(fill))


def test_work_that_looks_ends_with_its_call() -> None:
    looks = 0

    def endless() -> None:
        nonlocal looks
        while True:
            cancellation.look()
            looks += 1
            time.sleep(0.001)

    async def leave() -> None:
        task = asyncio.ensure_future(in_thread(endless))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())  # which waits for the thread
    assert looks > 0
