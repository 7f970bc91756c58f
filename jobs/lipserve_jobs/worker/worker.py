"""The loop of a worker: as many steps at once as it has places, and one more for a tenant that has none."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from lipserve.errors import LipServeError
from lipserve_jobs.queue import names
from lipserve_jobs.queue.work import Task
from lipserve_jobs.worker.hands import carry_out
from lipserve_jobs.worker.metrics import BUSY, PLACES
from lipserve_jobs.worker.tools import Tools

log = logging.getLogger("lipserve.jobs")
_LOOK_SECONDS = 1.0
_STILL_SECONDS = 120.0


class Worker:
    """Takes steps until it is told to end.

    Args:
        places: steps at once.
    """

    def __init__(self, tools: Tools, places: int) -> None:
        self._tools, self._places = tools, places
        self._running: dict[asyncio.Task[None], Task] = {}
        self._wake = asyncio.Event()
        self._ending = False
        self._turned = time.monotonic()
        PLACES.set(places)

    @property
    def turning(self) -> bool:
        """Whether the loop goes on; while NATS is away, a turn takes as long as a call's patience."""
        return time.monotonic() - self._turned < _STILL_SECONDS

    async def run(self) -> None:
        """Take steps; returns once `end` was called and those in work are finished."""
        work = self._tools.work
        heard = [
            await work.on(names.WAKE, lambda _: self._wake.set()),
            await work.on(names.CANCEL, self._cancel),
        ]
        try:
            while not self._ending:
                self._wake.clear()
                self._turned = time.monotonic()
                if len(self._running) <= self._places and await self._take():
                    continue
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for task in list(self._running):
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)
            for subscription in heard:
                with suppress(Exception):
                    await subscription.unsubscribe()

    def end(self) -> None:
        """Take nothing more; `run` returns when what is in work is done."""
        self._ending = True
        self._wake.set()

    def give_up(self) -> None:
        """Give back what is in work."""
        for task in list(self._running):
            task.cancel()

    async def _take(self) -> bool:
        """Begin a step, if there is one for a free place."""
        try:
            taken = await self._tools.work.take(spare=len(self._running) == self._places)
        except LipServeError as error:
            log.warning("%s", error)
            return False
        if taken is None:
            return False
        task = asyncio.create_task(carry_out(self._tools, taken))
        self._running[task] = taken
        BUSY.set(len(self._running))
        task.add_done_callback(self._left)
        return True

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        BUSY.set(len(self._running))
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a step ended by %r", task.exception())

    def _cancel(self, job: str) -> None:
        for task, taken in self._running.items():
            if taken.job == job:
                task.cancel()
