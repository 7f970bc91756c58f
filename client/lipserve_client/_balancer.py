"""Which of several servers the next request goes to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

FIRST_REST = 1.0  # seconds that a server which did not answer is put aside; doubles every time
LONGEST_REST = 30.0


class Balancer:
    """Round-robin over `count` servers; one that fails is put aside for a while. Safe for threads.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0
        self._failures = [0] * count
        self._resting_until = [0.0] * count

    def pick(self, avoid: Collection[int] = ()) -> int:
        """Return the next server: of those not in `avoid`, one that is not put aside, if there is any.

        Where all are to be avoided, none is. Where all are put aside, the one whose rest ends first.
        """
        with self._lock:
            count = len(self._failures)
            order = [(self._next + step) % count for step in range(count)]
            allowed = [i for i in order if i not in avoid] or order
            now = self._clock()
            awake = [i for i in allowed if self._resting_until[i] <= now]
            chosen = awake[0] if awake else min(allowed, key=lambda i: self._resting_until[i])
            self._next = (chosen + 1) % count
            return chosen

    def failed(self, server: int) -> None:
        """Put `server` aside: longer every time in a row."""
        with self._lock:
            rest = min(LONGEST_REST, FIRST_REST * 2 ** self._failures[server])
            self._failures[server] += 1
            self._resting_until[server] = self._clock() + rest

    def worked(self, server: int) -> None:
        """Take `server` back."""
        with self._lock:
            self._failures[server] = 0
            self._resting_until[server] = 0.0
