"""A worker process: the loop, the keeper, the webhooks, metrics."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from lipserve_client import AsyncClient
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Tenants
from lipserve_jobs.store import Store
from lipserve_jobs.worker.keeper import Keeper
from lipserve_jobs.worker.outside import Outside
from lipserve_jobs.worker.tools import Tools
from lipserve_jobs.worker.worker import Worker
from lipserve_jobs.worker.workshop import Workshop

log = logging.getLogger("lipserve.jobs")
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker runs.

    Attributes:
        store, endpoint: as `Store.open`. tenants: of the service. scratch: folder for files of jobs.
        places: steps at once. keep_days: that a job is kept after its end.
        private: whether files and webhooks may have addresses that are not public.
        webhook_secret: signs webhooks of tenants that have none of their own.
        metrics_port: of Prometheus' page; None: there is none.
    """

    broker: BrokerOptions
    store: str
    scratch: Path
    endpoint: str | None = None
    tenants: Tenants = field(default_factory=Tenants)
    places: int = 3
    keep_days: float = 7.0
    private: bool = False
    webhook_secret: str | None = None
    metrics_port: int | None = None


async def work(client: AsyncClient, options: WorkerOptions, ready: Callable[[], None] | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT; then it finishes what it is at, for a minute at most."""
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
            workshop=Workshop(store, options.scratch, outside),
            client=client,
            tenant=tenant,
            keep_seconds=options.keep_days * 86_400,
            outside=outside,
        )
        if options.metrics_port is not None:
            start_http_server(options.metrics_port)
        await _until_told(Worker(tools, options.places), Keeper(broker, tools), ready)
    finally:
        await broker.close()


async def _until_told(worker: Worker, keeper: Keeper, ready: Callable[[], None] | None) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    beside = [asyncio.create_task(keeper.run())]
    running = asyncio.create_task(worker.run())
    ending: asyncio.Task[object] = asyncio.create_task(told.wait())
    if ready is not None:
        ready()
    try:
        await asyncio.wait({running, ending, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, *beside):
            if task.done():
                await task  # it has failed: so does the worker
        worker.end()
        done, _ = await asyncio.wait([running], timeout=DRAIN_SECONDS)
        if not done:
            worker.give_up()
            await running
    finally:
        left: list[asyncio.Task[Any]] = [running, ending, *beside]
        for task in left:
            task.cancel()
        await asyncio.wait(left)
