"""The waiting requests of one model, and whose turn it is: clients take turns, each in its own order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

_REMEMBERED = 256  # clients without a request whose last turn is known


@dataclass(eq=False)
class Ticket:
    """One request that waits.

    Attributes:
        size: bytes.
        since: when it came, on the monotonic clock.
        dropped: whether it gave its place to a client with fewer.
    """

    client: str
    size: int
    since: float = field(default_factory=time.monotonic)
    dropped: bool = False


class Lane:
    """Not locked: whoever holds it holds a lock.

    Attributes:
        places: how many requests are at work together.
        held: by how many it is held back.
        waiting: in the order in which they came.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.held = 0
        self.waiting: list[Ticket] = []
        self._busy: Counter[str] = Counter()
        self._turns: dict[str, int] = {}  # of each client, the number of its last turn
        self._count = 0

    @property
    def busy(self) -> int:
        """How many requests are at work."""
        return self._busy.total()

    def may_begin(self, ticket: Ticket) -> bool:
        """Return whether it is a waiting request's turn, and there is a place for it."""
        return not self.held and self.next() is ticket and self._has_place(ticket.client)

    def takes(self, client: str) -> bool:
        """Return whether a request of a client that comes now would not have to wait."""
        first = all(self._busy[other.client] > self._busy[client] for other in self.waiting)
        return not self.held and first and self._has_place(client)

    def _has_place(self, client: str) -> bool:
        """Return whether there is a place for a client: clients share the places.

        One that has no request at work gets a place at once, above the number of places where those are
        taken, as long as there are no more than half as many such; one that has its share gets no other
        while there are clients with less.
        """
        clients = {client, *self._busy, *(ticket.client for ticket in self.waiting)}
        if not self._busy[client]:
            return self.busy < self.places + min(len(clients) - 1, max(1, self.places // 2))
        return self.busy < self.places and self._busy[client] < max(1, self.places // len(clients))

    def next(self) -> Ticket:
        """Return the request whose turn it is.

        The client with the fewest requests at work comes first, of those the one whose last turn is the
        longest ago, and of its requests the first. So a client that sends one request waits for one place,
        however many another one has sent before.
        """
        return min(
            self.waiting, key=lambda ticket: (self._busy[ticket.client], self._turns.get(ticket.client, 0))
        )

    def begin(self, ticket: Ticket) -> None:
        """Count a request as at work; it waits no more."""
        self._busy[ticket.client] += 1
        self._count += 1
        self._turns.pop(ticket.client, None)
        self._turns[ticket.client] = self._count
        while len(self._turns) > _REMEMBERED:
            del self._turns[next(iter(self._turns))]

    def end(self, ticket: Ticket) -> None:
        self._busy[ticket.client] -= 1
        self._busy += Counter()  # forgets clients that have none

    def oldest(self, client: str) -> float:
        """Return for how many seconds the oldest waiting request of a client has waited; 0: none waits."""
        since = [ticket.since for ticket in self.waiting if ticket.client == client]
        return time.monotonic() - min(since) if since else 0.0


def spare(tickets: Iterable[Ticket], client: str) -> Ticket | None:
    """Return the request that gives its place to one of `client`: None where that has its share.

    It is the last one of the client with the most, if that has at least two more than `client`.
    """
    tickets = [ticket for ticket in tickets if not ticket.dropped]
    counts = Counter(ticket.client for ticket in tickets)
    if not counts:
        return None
    largest, most = counts.most_common(1)[0]
    if most < counts[client] + 2:
        return None
    return max((ticket for ticket in tickets if ticket.client == largest), key=lambda ticket: ticket.since)
