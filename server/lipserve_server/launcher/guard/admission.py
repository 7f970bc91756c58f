"""Which requests are at work, which wait, and which are refused because too many do.

Each model that clients call is a lane of its own: as many of its requests are at work as its processes (those
of all its steps, where it is an ensemble) can be busy with, and the others wait here, in the order of their
arrival, where a caller who goes away costs nothing. Triton's own queue has no bound that does not stall it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from lipserve.contracts import COMPLETE, PIPELINES, Model, Profile, of_tier
from lipserve.errors import CancelledError, LipServeError, ServerFullError, UnavailableError
from lipserve_server.inside.limits import MIB, Limits

_OTHERS = "other models"
_OTHER_PLACES = 4


def places(models: Sequence[Model], profile: Profile) -> dict[str, int]:
    """Return how many requests of each model are at work together: what fills the batches of a leaf."""
    held = {model.name: model for model in models}

    def processes(model: Model) -> int:
        return model.embedded_instances if profile == "embedded" else model.instances

    found = {}
    for model in models:
        steps = [held[step.model] for step in model.steps] or [model]
        found[model.name] = sum(map(processes, steps)) * max(1, model.max_batch_size)
    return found


def entrances(model: str) -> set[str]:
    """Return the models that clients call and that cannot be served while `model` is away."""
    found = {model}
    for tier, pipeline in PIPELINES.items():
        if model in {held.name for held in of_tier(tier, COMPLETE)}:
            found |= {pipeline.ensemble.name, *(stage.name for stage in pipeline.stages)}
    return found


class _Lane:
    def __init__(self, places: int) -> None:
        self.places = places
        self.busy = 0
        self.held = 0  # by how many it is held back
        self.waiting: deque[tuple[object, float]] = deque()


class Admission:
    """The lanes of one server. Every method may be called from any thread.

    Args:
        places: of each lane, by its model.
    """

    def __init__(self, places: dict[str, int], limits: Limits) -> None:
        self._limits = limits
        self._lanes = {name: _Lane(count) for name, count in {**places, _OTHERS: _OTHER_PLACES}.items()}
        self._bytes = 0
        self._count = 0
        self._left = time.monotonic()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def capacity(self) -> int:
        """How many requests are accepted at the most."""
        return sum(lane.places for lane in self._lanes.values()) + self._limits.waiting

    @property
    def lanes(self) -> list[str]:
        """The names of all lanes."""
        return list(self._lanes)

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """Count a request from before its message is read until its answer is sent."""
        with self._changed:
            if self._closed:
                raise UnavailableError("The server is draining.", "Send the request to another one.")
            if self._count >= self.capacity:
                raise _full("requests")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._left = time.monotonic()
                self._changed.notify_all()

    @contextmanager
    def place(self, model: str, size: int, gone: Callable[[], bool]) -> Iterator[None]:
        """Wait for a place in a model's lane, and hold it inside the block.

        Args:
            size: bytes of the request.
            gone: whether its caller waits no more; call `wake` when that changes.

        Raises:
            ServerFullError: too many wait, or too many bytes; CancelledError: the caller has gone.
        """
        lane = self._lanes.get(model) or self._lanes[_OTHERS]
        ticket = (object(), time.monotonic())
        with self._changed:
            self._enter(lane, size, ticket)
            try:
                while gone() or lane.held or lane.busy >= lane.places or lane.waiting[0] is not ticket:
                    if gone():
                        raise CancelledError("The caller gave up.")
                    self._changed.wait()
            except BaseException:
                self._bytes -= size
                raise
            finally:
                lane.waiting.remove(ticket)
                self._changed.notify_all()
            lane.busy += 1
        try:
            yield
        finally:
            with self._changed:
                lane.busy -= 1
                self._bytes -= size
                self._changed.notify_all()

    def _enter(self, lane: _Lane, size: int, ticket: tuple[object, float]) -> None:
        if len(lane.waiting) >= self._limits.waiting and (lane.waiting or lane.busy >= lane.places):
            raise _full("requests")
        if self._bytes and self._bytes + size > self._limits.accepted_mib * MIB:
            raise _full("bytes")
        self._bytes += size
        lane.waiting.append(ticket)

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

    def _hold(self, lanes: Iterable[_Lane], change: int) -> None:
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
            since = [at for name in models if name in self._lanes for _, at in self._lanes[name].waiting]
        return len(since), time.monotonic() - min(since) if since else 0.0


def _full(what: str) -> LipServeError:
    return ServerFullError(
        f"The server is full: as many {what} wait as it allows.", "Try again in a few seconds."
    )
