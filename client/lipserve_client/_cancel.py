"""Giving up a call: from another thread, and while a thread of its own still works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from lipserve.cancellation import cancellable
from lipserve.errors import CancelledError, SetupError, StorageError

R = TypeVar("R")


class CancelToken:
    """Cancels the calls that it was given to: those in flight at once, later ones before they start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._watchers: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Cancel, from any thread. A second call changes nothing."""
        with self._lock:
            # A task counts how often it is cancelled, and goes on with that where it is taken back once.
            watchers = [] if self._cancelled else list(self._watchers)
            self._cancelled = True
        for watcher in watchers:
            watcher()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Cancel the current asyncio task when the token is; what leaves is lipserve's CancelledError."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        watching, fired = True, False

        def give_up() -> None:
            nonlocal fired
            if watching:  # not where the call ended while this was on its way
                fired = True
                task.cancel()

        def fire() -> None:
            with suppress(RuntimeError):  # the loop has closed: the call has ended
                loop.call_soon_threadsafe(give_up)

        with self._lock:
            if self._cancelled:
                raise CancelledError("The call was cancelled before it began.")
            self._watchers.append(fire)
        try:
            yield
        except asyncio.CancelledError:
            if fired and task.uncancel() == 0:
                raise CancelledError("The caller cancelled the call.") from None
            raise
        finally:
            watching = False
            with self._lock:
                self._watchers.remove(fire)


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
