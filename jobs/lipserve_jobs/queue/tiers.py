"""Which tiers there are: workers tell what their servers have, by a key for each tier."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from nats.js.errors import NotFoundError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE

from lipserve.contracts import TIER_NAMES, TierName
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker

TELL_SECONDS = 30.0
"""So often each worker tells it."""
_STALE = timedelta(seconds=4 * TELL_SECONDS)


class Tiers:
    """Writes and reads what workers tell."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def tell(self, tiers: Iterable[TierName]) -> None:
        """Tell that there are servers with these tiers now."""
        for tier in tiers:
            put = partial(self._broker.bucket(names.TIERS).put, tier, b"")
            await self._broker.lasting(put)

    async def known(self) -> tuple[TierName, ...] | None:
        """Return the tiers that were told last; None: nobody has ever told any.

        A tier that nobody has told for two minutes, while somebody told another one, is there no longer. With
        no worker at all those that were there last count: workers may come when there is work.
        """
        told = await self._broker.lasting(self.times)
        last = max(told.values(), default=None)
        if last is None:
            return None
        return tuple(tier for tier in TIER_NAMES if tier in told and last - told[tier] < _STALE)

    async def times(self) -> dict[str, datetime]:
        """Return when each tier was told last, by the clock of NATS."""
        found: dict[str, datetime] = {}
        for tier in TIER_NAMES:  # not by a watcher: it may say that all have come before any has
            with suppress(NotFoundError):
                told = await self._broker.js.get_msg(f"KV_{names.TIERS}", subject=f"$KV.{names.TIERS}.{tier}")
                if told.time and (told.headers or {}).get(KV_OP) not in (KV_DEL, KV_PURGE):
                    found[tier] = told.time
        return found
