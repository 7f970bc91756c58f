"""How many requests are at work together, and how clients share that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lipserve.contracts import Model, Profile


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


class Places:
    """Places that clients share. Not locked: whoever holds it holds a lock.

    Attributes:
        count: how many requests are at work together.
        busy, waiting: requests of each client.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.busy: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    def has_one(self, client: str) -> bool:
        """Return whether there is a place for a client.

        One that has no request at work gets a place at once, above the number of places where those are
        taken, as long as there are no more than half as many such; one that has its share gets no other
        while there are clients with less.
        """
        clients, busy = {client, *self.busy, *self.waiting}, self.busy.total()
        if not self.busy[client]:
            return busy < self.count + min(len(clients) - 1, max(1, self.count // 2))
        return busy < self.count and self.busy[client] < max(1, self.count // len(clients))


def change(counters: Iterable[Counter[str]], client: str, by: int) -> None:
    """Add to a client's count in each of `counters`; a client that has none is forgotten."""
    for counter in counters:
        counter[client] += by
        if not counter[client]:
            del counter[client]
