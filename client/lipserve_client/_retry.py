"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from lipserve.errors import ConnectError, LipServeError, ModelNotFoundError, ProcessDiedError

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 8.0
DEATHS = 4  # of processes at one request: it may be what ends them, and is not sent again
RETRIES = 16  # where the caller does not say: pauses of 51 to 103 s in all, so that a server may be restarted
FIRST_CONTACT_DELAY = 0.2  # before the one more try of a server that never answered


@dataclass
class Retry:
    """The tries of one request.

    Args:
        retries: how often all servers may be asked again, after a pause each time.
        servers: how many there are to send it to.
        rng: source of the jitter.

    Attributes:
        avoid: servers that failed since the last wait, or lack the model; the next try goes elsewhere.
        used: how often it was sent again.
    """

    retries: int
    servers: int
    rng: random.Random
    avoid: set[int] = field(default_factory=set)
    used: int = 0
    _lacking: set[int] = field(default_factory=set)
    _rounds: int = 0
    _deaths: int = 0

    def after(self, error: LipServeError, server: int, known: bool) -> float | None:
        """Return the seconds to wait before the next try, or None where `error` is final.

        Args:
            server: which one failed.
            known: whether any server has ever answered: a fleet that never did is given one more try only.
        """
        self.avoid.add(server)
        self._deaths += isinstance(error, ProcessDiedError)
        if isinstance(error, ModelNotFoundError):  # this server is not asked again, so it costs no try
            self._lacking.add(server)
            if len(self._lacking) == self.servers:
                return None
        elif not error.retryable or self._rounds >= self.retries or self._deaths == DEATHS:
            return None
        else:
            self.used += 1
        return 0.0 if len(self.avoid) < self.servers else self._pause(error, known)

    def _pause(self, error: LipServeError, known: bool) -> float | None:
        self.avoid = set(self._lacking)
        self._rounds += 1
        if isinstance(error, ConnectError) and not known:
            return FIRST_CONTACT_DELAY if self._rounds == 1 else None
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._rounds - 1))
        return float(longest * self.rng.uniform(0.5, 1.0))
