"""What was sent and is not used: files without a job, lists whose jobs are gone.

There may be no worker for days; gateways are always there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

from lipserve.errors import LipServeError
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.shelf import KEEP_SECONDS
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.erasure import awaited
from lipserve_jobs.queue.locks import TakenError, locked
from lipserve_jobs.queue.work import Work
from lipserve_jobs.store import Store

log = logging.getLogger("lipserve.jobs")
ROUND_SECONDS = 3600.0


class Sweeper:
    """Removes what nobody uses, a day after it came; one gateway at a time."""

    def __init__(self, broker: Broker, store: Store, mirror: Mirror, batches: Batches, work: Work) -> None:
        self._broker, self._store, self._mirror = broker, store, mirror
        self._batches, self._work = batches, work

    async def run(self) -> None:
        """Sweep about once an hour until it is cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS * random.uniform(0.5, 1.5))
            try:
                async with locked(self._broker, "sweeper"):
                    await self.round(time.time() - KEEP_SECONDS)
            except TakenError:
                continue
            except LipServeError as error:
                log.warning("unused files stay for an hour: %s", error)

    async def round(self, before: float) -> None:
        """Remove what is not used and was last written before a time (seconds since 1970)."""
        if not self._mirror.filled:
            return
        await self._sweep_files(before)
        known = {(batch.tenant, batch.id): batch.created for batch in await self._batches.all()}
        rows = await self._found("batches/")
        for tenant, id in known.keys() | rows.keys():
            keys, last = rows.get((tenant, id), ([], known.get((tenant, id), 0.0)))
            empty = not self._mirror.batch(tenant, id).total()
            if last < before and empty and not await self._work.waiting_for(id):
                await self._store.remove(*keys)
                await self._batches.forget(tenant, id)

    async def _sweep_files(self, before: float) -> None:
        used: dict[str, set[str]] = {}
        for (tenant, id), (keys, last) in (await self._found("files/")).items():
            if last >= before:
                continue
            if tenant not in used:
                used[tenant] = await awaited(self._batches, self._store, tenant)
                used[tenant].update(file for job in self._mirror.of(tenant) for file in job.files)
            if id not in used[tenant]:
                await self._store.remove(*keys)

    async def _found(self, root: str) -> dict[tuple[str, str], tuple[list[str], float]]:
        """Return the keys below a root by tenant and id, and when the last of each was written."""
        found: dict[tuple[str, str], tuple[list[str], float]] = {}
        async for item in self._store.list(root):
            _, tenant, id, *_ = item.key.split("/")
            keys, last = found.get((tenant, id), ([], 0.0))
            found[tenant, id] = ([*keys, item.key], max(last, item.modified.timestamp()))
        return found
