"""The service for jobs without tenants: a real gateway, and workers whose servers may change no lips."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lipserve import MockTransport
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.records import Job
from lipserve_jobs.records.tenant import LOCAL
from lipserve_jobs.store import Store
from tests.support.gateways import Gateway, Hand
from tests.support.jobs import desk

NOWHERE = "127.0.0.1:1"  # where no Triton is


class LocalService(Gateway):
    """A gateway in a thread, whose callers are all the tenant `local`.

    Args:
        nats: address of the queue. folder: the store lies in it.
    """

    def __init__(self, nats: str, folder: Path) -> None:
        super().__init__(Settings(BrokerOptions(nats, patience=10), str(folder / "store")))
        self.nats, self.folder = nats, folder
        self.hand = Hand(nats, self.settings.store)

    @contextmanager
    def worker(self, transport: MockTransport | None = None, url: str | None = None) -> Iterator[None]:
        """Run a worker in a thread.

        Args:
            transport: answers in Triton's place, by default with the video as it is.
            url: of Triton; then nothing is answered here.
        """
        begun, told = threading.Event(), threading.Event()
        server: dict[str, Any] = {} if url else {"transport": transport or MockTransport()}

        async def work() -> None:
            async with desk(self.nats, self.folder, url or NOWHERE, **server) as one, one.worker():
                begun.set()
                await asyncio.to_thread(told.wait)

        thread = threading.Thread(target=asyncio.run, args=(work(),))
        thread.start()
        try:
            assert begun.wait(60)
            yield
        finally:
            told.set()
            thread.join(60)

    def change(self, id: str, change: Callable[[Job], Job]) -> Job:
        """Change a record as a worker does, and return it."""

        async def call(broker: Broker, store: Store) -> Job:
            found, _ = await Journal(broker).change(LOCAL, id, change)
            assert found is not None
            return found

        return self.hand.run(call)
