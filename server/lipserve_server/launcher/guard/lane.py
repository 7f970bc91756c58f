"""The waiting requests of one model, and whose turn it is: clients take turns, each in its own order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lipserve_server.launcher.guard.places import Places, change

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
        held: by how many it is held back.
        waiting: in the order in which they came.

    Args:
        own: how many of its requests are at work together.
        shared: with other lanes, where those work on the same cores.
    """

    def __init__(self, own: Places, shared: Places | None = None) -> None:
        self.own = own
        self.held = 0
        self.waiting: list[Ticket] = []
        self._places = [own, shared] if shared else [own]
        self._busy = self._places[-1].busy
        self._turns: dict[str, float] = {}  # when the last turn of each client was, on the monotonic clock

    @property
    def busy(self) -> int:
        """How many of its requests are at work."""
        return self.own.busy.total()

    def may_begin(self, ticket: Ticket) -> bool:
        """Return whether it is a waiting request's turn, and there is a place for it."""
        return not self.held and self.next() is ticket and self._has_place(ticket.client)

    def takes(self, client: str) -> bool:
        """Return whether a request of a client that comes now would not have to wait."""
        first = all(self._busy[other.client] > self._busy[client] for other in self.waiting)
        return not self.held and first and self._has_place(client)

    def _has_place(self, client: str) -> bool:
        return all(places.has_one(client) for places in self._places)

    def next(self) -> Ticket:
        """Return the request whose turn it is.

        The client with the fewest requests at work comes first, of those the one whose last turn is the
        longest ago, and of its requests the first. So a client that sends one request waits for one place,
        however many another one has sent before.
        """
        return min(
            self.waiting, key=lambda ticket: (self._busy[ticket.client], self._turns.get(ticket.client, 0))
        )

    def enter(self, ticket: Ticket) -> None:
        """Count a request as one that waits."""
        self.waiting.append(ticket)
        change((places.waiting for places in self._places), ticket.client, 1)

    def leave(self, ticket: Ticket) -> None:
        """Count a request as one that waits no more."""
        self.waiting.remove(ticket)
        change((places.waiting for places in self._places), ticket.client, -1)

    def begin(self, ticket: Ticket) -> None:
        """Count a request as at work."""
        change((places.busy for places in self._places), ticket.client, 1)
        self._turns.pop(ticket.client, None)
        self._turns[ticket.client] = time.monotonic()
        while len(self._turns) > _REMEMBERED:
            del self._turns[next(iter(self._turns))]

    def end(self, ticket: Ticket) -> None:
        change((places.busy for places in self._places), ticket.client, -1)

    def oldest(self, client: str) -> float:
        """Return for how many seconds the oldest waiting request of a client has waited; 0: none waits."""
        since = [ticket.since for ticket in self.waiting if ticket.client == client]
        return time.monotonic() - min(since) if since else 0.0

    def overdue(self) -> float:
        """Return for how many seconds a client has waited for its turn, of all the longest; 0: none waits.

        It is the age of the oldest waiting request, but for those of clients that have had a turn since: a
        hundred requests of one client at once are no sign that the server falls behind.
        """
        since = [max(ticket.since, self._turns.get(ticket.client, 0)) for ticket in self.waiting]
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
