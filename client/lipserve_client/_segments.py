"""Keep several segments in flight, and hand their results on in order."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lipserve.cancellation import cancellable
from lipserve.errors import CancelledError, SetupError, StorageError

T = TypeVar("T")
R = TypeVar("R")


async def in_thread(function: Callable[..., R], *args: Any) -> R:
    """Return `function(*args)`, run in a thread; cancelled, it still waits for the end of the function.

    So nobody closes a file that the thread is writing to. What looks at `lipserve.cancellation`, as reading
    files does, then ends early. A disk that is full is this machine's here, not the
    server's: SetupError.
    """
    left = threading.Event()

    def raise_if_left() -> None:
        if left.is_set():
            raise CancelledError("The call was cancelled.")

    with cancellable(raise_if_left):  # the thread inherits it
        work = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(work)
    except StorageError as error:
        raise SetupError(error.message, error.remedy) from error
    except asyncio.CancelledError:
        left.set()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # looked at, so that asyncio does not report it as lost
        raise


async def in_order(
    count: int,
    work: Callable[[int], Awaitable[T]],
    accept: Callable[[int, T], Awaitable[None]],
    concurrency: int,
) -> None:
    """Call `work(i)` for i < `count`, `concurrency` at once, and `accept(i, its result)` in order of i.

    At most `2 * concurrency` segments exist at any time, whatever `count`: a result that waits for a slow
    one before it holds back those after it. The first failure cancels the rest and is raised.
    """
    flight = asyncio.Semaphore(concurrency)

    async def fly(index: int) -> T:
        async with flight:
            return await work(index)

    waiting: deque[tuple[int, asyncio.Task[T]]] = deque()

    async def land() -> None:
        index, task = waiting.popleft()
        await accept(index, await task)

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                if len(waiting) == 2 * concurrency:
                    await land()
                waiting.append((index, group.create_task(fly(index))))
            while waiting:
                await land()
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
