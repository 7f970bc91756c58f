"""Everything that routes use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lipserve_jobs.gateway.auth import Doorkeeper
from lipserve_jobs.gateway.control import Control
from lipserve_jobs.gateway.intake import Intake
from lipserve_jobs.gateway.metrics import Meters
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.observation import Observation
from lipserve_jobs.gateway.offer import Offer
from lipserve_jobs.gateway.quotas import Quotas
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.gateway.shelf import Shelf
from lipserve_jobs.gateway.submission import Submission
from lipserve_jobs.gateway.sweeper import Sweeper
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.once import Once
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records.roster import Roster
from lipserve_jobs.store import Store


@dataclass
class Service:
    """A gateway that runs.

    Attributes:
        stopping: set after SIGTERM: streams end, and no load balancer should send more.
    """

    settings: Settings
    roster: Roster
    broker: Broker
    store: Store
    journal: Journal
    work: Work
    batches: Batches
    ledger: Ledger
    mirror: Mirror
    shelf: Shelf
    intake: Intake
    quotas: Quotas
    offer: Offer
    submission: Submission
    control: Control
    doorkeeper: Doorkeeper
    meters: Meters
    observation: Observation
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    open_streams: int = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: Settings, roster: Roster, meters: Meters) -> AsyncIterator[Service]:
        """Connect, follow the records, and clean up at the end."""
        broker = await Broker.open(settings.broker)
        store = Store.open(settings.store, settings.endpoint)
        ends, ledger, work = Ends(broker), Ledger(broker), Work(broker, roster.named)
        mirror, shelf = Mirror(broker), Shelf(store)
        journal = mirror.journal
        quotas, offer = Quotas(mirror, ledger, shelf), Offer(Tiers(broker))
        once, private, batches = Once(broker), settings.private, Batches(broker)
        service = cls(
            settings=settings,
            roster=roster,
            broker=broker,
            store=store,
            journal=journal,
            work=work,
            batches=batches,
            ledger=ledger,
            mirror=mirror,
            shelf=shelf,
            intake=Intake(store, settings.upload_memory, meters.uploads_open, meters.upload_bytes),
            quotas=quotas,
            offer=offer,
            submission=Submission(store, journal, work, once, mirror, shelf, quotas, offer, private),
            control=Control(store, journal, work, ends, batches, mirror, quotas, settings.keep_seconds),
            doorkeeper=Doorkeeper(settings, roster),
            meters=meters,
            observation=Observation(broker, store, mirror, work, ledger, roster),
        )
        sweeper = Sweeper(broker, store, mirror, batches, work)
        running = [asyncio.create_task(mirror.run()), asyncio.create_task(sweeper.run())]
        try:
            yield service
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await broker.close()
