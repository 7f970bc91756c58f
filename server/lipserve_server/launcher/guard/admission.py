"""Which requests are at work, which wait, and which are refused because too many do.

Each model that clients call is a lane of its own: as many of its requests are at work as its processes (those
of all its steps, where it is an ensemble) can be busy with, and the others wait here, where a caller who goes
away costs nothing. Clients take turns, and where no more may wait, the one with the most gives a place to one
with fewer. Triton's own queue has no bound that does not stall it, and no order but that of arrival.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from lipserve.contracts import COMPLETE, PIPELINES, of_tier
from lipserve.errors import CancelledError, LipServeError, ServerFullError, UnavailableError
from lipserve_server.inside.limits import MIB, Limits
from lipserve_server.launcher.guard.lane import Lane, Ticket, spare
from lipserve_server.launcher.guard.places import Places

_OTHERS = "other models"
_OTHER_PLACES = 4
_SPARE = 16  # requests above the capacity: of clients that have fewer than others


def entrances(model: str) -> set[str]:
    """Return the models that clients call and that cannot be served while `model` is away."""
    found = {model}
    for tier, pipeline in PIPELINES.items():
        if model in {held.name for held in of_tier(tier, COMPLETE)}:
            found |= {pipeline.ensemble.name, *(stage.name for stage in pipeline.stages)}
    return found


class Admission:
    """The lanes of one server. Every method may be called from any thread.

    Args:
        places: of each lane, by its model.
        cores: that all requests are at work on, for whatever model; None: leaves are on GPUs.
        apart: lanes of requests that are small, and not counted as work on the cores.
    """

    def __init__(
        self,
        places: Mapping[str, int],
        limits: Limits,
        cores: int | None = None,
        apart: Collection[str] = (),
    ) -> None:
        self._limits = limits
        shared = None if cores is None else Places(cores)
        self._lanes = {
            name: Lane(Places(count), None if name in apart else shared) for name, count in places.items()
        }
        self._lanes[_OTHERS] = Lane(Places(_OTHER_PLACES))
        self._bytes = 0
        self._accepted: Counter[str] = Counter()  # by client
        self._left = time.monotonic()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def capacity(self) -> int:
        """How many requests are accepted at the most."""
        return self._capacity + _SPARE

    @property
    def _capacity(self) -> int:
        return sum(lane.own.count for lane in self._lanes.values()) + self._limits.waiting

    @property
    def _count(self) -> int:
        return self._accepted.total()

    @property
    def lanes(self) -> list[str]:
        """The names of all lanes."""
        return list(self._lanes)

    @contextmanager
    def accepted(self, client: str = "") -> Iterator[None]:
        """Count a request from before its message is read until its answer is sent.

        Raises:
            UnavailableError: the server drains; ServerFullError: too many requests are accepted.
        """
        with self._changed:
            if self._closed:
                raise UnavailableError("The server is draining.", "Send the request to another one.")
            if self._count >= self._capacity and not self._has_fewer(client):
                raise _full("requests")
            self._accepted[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._accepted[client] -= 1
                self._accepted += Counter()  # forgets clients that have none
                self._left = time.monotonic()
                self._changed.notify_all()

    def _has_fewer(self, client: str) -> bool:
        """Return whether a client may have a request above the capacity: others have more than it."""
        most = max(self._accepted.values(), default=0)
        return self._count < self.capacity and self._accepted[client] + 2 <= most

    @contextmanager
    def place(self, model: str, size: int, gone: Callable[[], bool], client: str = "") -> Iterator[None]:
        """Wait for a place in a model's lane, and hold it inside the block.

        Args:
            size: bytes of the request.
            gone: whether its caller waits no more; call `wake` when that changes.

        Raises:
            ServerFullError: too many wait, or too many bytes; CancelledError: the caller has gone.
        """
        lane = self._lanes.get(model) or self._lanes[_OTHERS]
        ticket = Ticket(client, size)
        with self._changed:
            self._enter(lane, ticket)
            try:
                self._wait(lane, ticket, gone)
            except BaseException:
                self._bytes -= 0 if ticket.dropped else size
                raise
            finally:
                lane.leave(ticket)
                self._changed.notify_all()
            lane.begin(ticket)
        try:
            yield
        finally:
            with self._changed:
                lane.end(ticket)
                self._bytes -= size
                self._changed.notify_all()

    def _wait(self, lane: Lane, ticket: Ticket, gone: Callable[[], bool]) -> None:
        """Return when it is a request's turn."""
        while True:
            if gone():
                raise CancelledError("The caller gave up.")
            if ticket.dropped:
                raise _full("requests")
            if lane.may_begin(ticket):
                return
            self._changed.wait()

    def _enter(self, lane: Lane, ticket: Ticket) -> None:
        """Let a request wait, in the place of another client's where there is no room; or refuse it."""
        if lane.oldest(ticket.client) > self._limits.waiting_seconds:
            raise _full("requests")
        if not lane.takes(ticket.client):
            if lane.overdue() > self._limits.turn_seconds:
                raise _full("requests")
            waiting = [other for other in lane.waiting if not other.dropped]
            if len(waiting) >= self._limits.waiting:
                self._drop(spare(waiting, ticket.client), "requests")
        everywhere = [other for each in self._lanes.values() for other in each.waiting]
        while self._bytes and self._bytes + ticket.size > self._limits.accepted_mib * MIB:
            self._drop(spare(everywhere, ticket.client), "bytes")
        self._bytes += ticket.size
        lane.enter(ticket)

    def _drop(self, ticket: Ticket | None, what: str) -> None:
        """Take a waiting request's place from it; ServerFullError where there is none to take."""
        if ticket is None:
            raise _full(what)
        ticket.dropped = True
        self._bytes -= ticket.size
        self._changed.notify_all()

    def wake(self) -> None:
        """Have everybody look again whether his caller has gone."""
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def held_back(self, models: Iterable[str]) -> Iterator[None]:
        """Let no request of these models begin inside the block: they wait instead of failing."""
        lanes = [self._lanes[name] for name in models if name in self._lanes]
        self._hold(lanes, 1)
        try:
            yield
        finally:
            self._hold(lanes, -1)

    def _hold(self, lanes: Iterable[Lane], change: int) -> None:
        with self._changed:
            for lane in lanes:
                lane.held += change
            self._changed.notify_all()

    def quiet(self, models: Iterable[str], timeout: float) -> bool:
        """Wait until no request of these models is at work; return whether that is so within `timeout`."""
        lanes = [self._lanes[name] for name in models if name in self._lanes]
        with self._changed:
            return self._changed.wait_for(lambda: not any(lane.busy for lane in lanes), timeout)

    def close(self) -> None:
        """Accept no request from now on."""
        with self._changed:
            self._closed = True

    def drained(self, timeout: float) -> bool:
        """Wait until every accepted request has its answer; return whether that is so within `timeout`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, max(0.0, timeout))

    def idle_seconds(self) -> float:
        """Return for how many seconds no request has been accepted; 0: one is."""
        with self._changed:
            return 0.0 if self._count else time.monotonic() - self._left

    def queue(self, models: Iterable[str]) -> tuple[int, float]:
        """Return how many requests of these models wait, and for how many seconds the oldest has."""
        with self._changed:
            since = [
                ticket.since for name in models if name in self._lanes for ticket in self._lanes[name].waiting
            ]
        return len(since), time.monotonic() - min(since) if since else 0.0


def _full(what: str) -> LipServeError:
    return ServerFullError(
        f"The server is full: as many {what} wait as it allows.", "Try again in a few seconds."
    )
