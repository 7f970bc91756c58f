"""What a worker tells of its servers."""

from __future__ import annotations

import asyncio
import logging

from lipserve.errors import LipServeError
from lipserve_client import AsyncClient
from lipserve_jobs.queue.tiers import TELL_SECONDS, Tiers

log = logging.getLogger("lipserve.jobs")
_SOON_SECONDS = 2.0


async def offer(client: AsyncClient, tiers: Tiers) -> None:
    """Tell again and again which tiers the servers have; of servers that are away nothing is told."""
    while True:
        pause = _SOON_SECONDS
        try:
            found = await client.tiers()
            await tiers.tell(found)
            pause = TELL_SECONDS if found else _SOON_SECONDS
        except LipServeError as error:
            log.debug("the servers' tiers are not known: %s", error)
        await asyncio.sleep(pause)
