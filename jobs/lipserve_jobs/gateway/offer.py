"""What the service can make: the tiers that its workers' servers have."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from lipserve.contracts import TierName
from lipserve.errors import LipServeError, ModelNotFoundError
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.records import Kind

FRESH_SECONDS = 5.0
_ASK_SECONDS = 2.0
_OF_A_TIER: frozenset[Kind] = frozenset({"dub", "estimate"})


class Offer:
    """Tells the tiers; those who ask within five seconds are told the same."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._known: tuple[TierName, ...] | None = None
        self._when = -FRESH_SECONDS
        self._lock = asyncio.Lock()

    async def tiers(self) -> tuple[TierName, ...] | None:
        """Return the tiers that there are; None: nobody has told. While NATS is away, those of before."""
        async with self._lock:
            if time.monotonic() - self._when >= FRESH_SECONDS:
                with suppress(LipServeError, TimeoutError):
                    async with asyncio.timeout(_ASK_SECONDS):
                        self._known = await self._tiers.known()
                self._when = time.monotonic()
        return self._known

    async def check(self, kind: Kind, tier: TierName) -> None:
        """Raise ModelNotFoundError where a job is of a tier that the service does not have."""
        if kind not in _OF_A_TIER:
            return
        known = await self.tiers()
        if known is not None and tier not in known:
            raise ModelNotFoundError(
                f"The service has no server with the tier {tier}.",
                f"Take one that it has: {', '.join(known)}.",
            )
