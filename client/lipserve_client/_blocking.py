"""Asynchronous iteration for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
_ROOM = 64  # items that wait to be taken


def iterate(open_stream: Callable[[], AsyncGenerator[T]]) -> Iterator[T]:
    """Yield what an asynchronous generator yields, which runs in an event loop and a thread of its own.

    Leaving the loop cancels the generator, and waits for its clean-up. Its error is raised here.
    """
    return iter(_Pump(open_stream))


class _Pump(Generic[T]):
    def __init__(self, open_stream: Callable[[], AsyncGenerator[T]]) -> None:
        self._open = open_stream
        self._give_up: Callable[[], object] = lambda: None
        self._ready: queue.Queue[tuple[T] | None] = queue.Queue(_ROOM)
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[T]:
        thread = threading.Thread(target=self._run, name="lipserve-stream", daemon=True)
        thread.start()
        try:
            while (item := self._ready.get()) is not None:
                yield item[0]
        finally:
            self._give_up()
            while thread.is_alive():  # it may wait for room
                try:
                    self._ready.get(timeout=0.1)
                except queue.Empty:
                    continue
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._pump())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.put(None)

    async def _pump(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._give_up = partial(_cancel, loop, task)
        async with aclosing(self._open()) as stream:
            async for item in stream:
                await asyncio.to_thread(self._ready.put, (item,))


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(RuntimeError):  # the loop has closed: the call has ended
        loop.call_soon_threadsafe(task.cancel)
