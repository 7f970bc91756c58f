"""A worker process: the loop, the keeper, the webhooks, what its servers offer, metrics."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipserve_client import AsyncClient
from lipserve_jobs.outside.hooks import Herald
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records.roster import Roster
from lipserve_jobs.store import Store
from lipserve_jobs.worker.keeper import Keeper
from lipserve_jobs.worker.metrics import told
from lipserve_jobs.worker.offering import offer
from lipserve_jobs.worker.outside import Outside
from lipserve_jobs.worker.tools import Tools
from lipserve_jobs.worker.worker import Worker
from lipserve_jobs.worker.workshop import Workshop

log = logging.getLogger("lipserve.jobs")


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker runs.

    Attributes:
        store, endpoint: as `Store.open`. tenants: of the service. scratch: folder for files of jobs.
        places: steps at once. keep_days: that a job is kept after its end.
        private: whether files and webhooks may have addresses that are not public.
        webhook_secret: signs webhooks of tenants that have none of their own.
        metrics_port: of /metrics and /healthz; None: there is none.
        drain_seconds: that it finishes what it is at, once it is told to end.
    """

    broker: BrokerOptions
    store: str
    scratch: Path
    endpoint: str | None = None
    tenants: Roster = field(default_factory=lambda: Roster(None))
    places: int = 3
    keep_days: float = 7.0
    private: bool = False
    webhook_secret: str | None = None
    metrics_port: int | None = None
    drain_seconds: float = 60.0


async def work(client: AsyncClient, options: WorkerOptions) -> None:
    """Run a worker until SIGTERM or SIGINT; then it finishes what it is at, or gives it back."""
    broker = await Broker.open(options.broker)
    try:
        store = Store.open(options.store, options.endpoint)
        tenant = options.tenants.named
        outside = Outside(tenant, options.private, options.endpoint)
        tools = Tools(
            store=store,
            journal=Journal(broker),
            work=Work(broker, tenant),
            ends=Ends(broker),
            ledger=Ledger(broker),
            batches=Batches(broker),
            workshop=Workshop(store, options.scratch, outside),
            client=client,
            tenant=tenant,
            keep_seconds=options.keep_days * 86_400,
            outside=outside,
        )
        herald = Herald(
            broker,
            tools.journal,
            options.tenants,
            secret=options.webhook_secret,
            private=options.private,
        )
        worker = Worker(tools, options.places)
        page: AbstractContextManager[None] = nullcontext()
        if options.metrics_port is not None:
            page = told(options.metrics_port, options.scratch, lambda: worker.turning)
        with page:
            beside = [Keeper(broker, tools).run(), herald.run(), offer(client, Tiers(broker))]
            await _until_told(worker, beside, options.drain_seconds)
    finally:
        await broker.close()


async def _until_told(
    worker: Worker, others: Sequence[Coroutine[Any, Any, None]], drain_seconds: float
) -> None:
    """Run a worker, and what goes on beside it, until a signal; what fails ends everything."""
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    beside = [asyncio.create_task(other) for other in others]
    running = asyncio.create_task(worker.run())
    ending: asyncio.Task[object] = asyncio.create_task(told_to_end.wait())
    try:
        await asyncio.wait({running, ending, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, *beside):
            if task.done():
                await task
        worker.end()
        done, _ = await asyncio.wait([running], timeout=drain_seconds)
        if not done:
            worker.give_up()
            await running
    finally:
        left: list[asyncio.Task[Any]] = [running, ending, *beside]
        for task in left:
            task.cancel()
        await asyncio.wait(left)
