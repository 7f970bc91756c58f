"""Run a coroutine to its end from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what `coroutine` gives; Ctrl-C cancels it, waits for its cleaning up, and is raised again.

    Where an event loop runs in this thread already (a notebook), a second thread drives the coroutine.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:
            return runner.run(coroutine)
    return _drive_beside(coroutine)


def _drive_beside(coroutine: Coroutine[Any, Any, T]) -> T:
    began = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def start() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        began.set()
        return await coroutine

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asyncio.run, start())
        try:
            return answer.result()
        except KeyboardInterrupt:
            began.wait()
            loop, task = running[0]
            loop.call_soon_threadsafe(task.cancel)
            raise
