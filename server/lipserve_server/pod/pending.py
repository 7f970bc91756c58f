"""How old the oldest segment is that was accepted and has not been begun."""

from __future__ import annotations

from collections import deque


class OldestPending:
    """Follows one queue by two numbers that are sampled: how many segments were ever begun, how many wait.

    Segments are begun in the order of their arrival, so what was begun is what had waited longest. A segment
    counts from the first sample that shows it: its age is too small by one interval at most.

    The two numbers are not of one instant. A segment that is no longer waiting and not yet counted as begun
    is kept for one more sample; what is missing from two in a row has failed, or was seen twice, and is
    given up.
    """

    def __init__(self) -> None:
        self._arrivals: deque[float] = deque()
        self._begun = 0
        self._surplus = 0

    def sample(self, now: float, begun: int, waiting: int) -> float:
        """Take one sample, and return the age in seconds of the oldest segment that waits; 0: none does.

        Args:
            now: seconds, of a clock that never goes back.
            begun: segments that were ever begun; less than in the last sample: the counter began anew.
            waiting: segments that wait.
        """
        grown = begun - self._begun if begun >= self._begun else begun
        self._begun = begun
        for _ in range(min(grown, len(self._arrivals))):
            self._arrivals.popleft()
        self._arrivals.extend([now] * (waiting - len(self._arrivals)))
        surplus = len(self._arrivals) - waiting
        for _ in range(min(surplus, self._surplus)):
            self._arrivals.pop()
        self._surplus = len(self._arrivals) - waiting
        return now - self._arrivals[0] if waiting else 0.0
