"""Cancellation check for code that has no access to the request, such as loops over packets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_EVERY = 0.05  # seconds


class _Caller:
    """A cancellation check that is limited in frequency."""

    def __init__(self, raise_if_cancelled: Callable[[], object]) -> None:
        self._raise_if_cancelled = raise_if_cancelled
        self._next = 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            self._raise_if_cancelled()


_caller: ContextVar[_Caller | None] = ContextVar("caller", default=None)


@contextmanager
def cancellable(raise_if_cancelled: Callable[[], object]) -> Iterator[None]:
    """Let calls of `look` in the block raise as `raise_if_cancelled` does."""
    token = _caller.set(_Caller(raise_if_cancelled))
    try:
        yield
    finally:
        _caller.reset(token)


def look() -> None:
    """Raise if the current block of `cancellable` is cancelled; cheap enough for every packet."""
    caller = _caller.get()
    if caller is not None:
        caller.look()
