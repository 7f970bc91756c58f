"""Cancellations of tasks, none of which may be lost: a task that goes on keeps its process from ending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[None]:
    """Leave by CancelledError where this task was cancelled inside, whatever was made of that.

    `asyncio.wait_for` of Python 3.11, by which the client of NATS waits, returns a result that comes at the
    moment of a cancellation, and says nothing of the cancellation (github.com/python/cpython/issues/86296).
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
