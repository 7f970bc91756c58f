"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

_FIRST, _STRETCH, _STRETCHES = 10_000, 2_800, 8  # all below the ports that the system gives by itself


def free_port(*addresses: str) -> int:
    """Return a port that is free on every one of `addresses`, and that was not returned before.

    Each worker of pytest has a stretch of its own: what a port was asked for may start much later.
    """
    for port in itertools.islice(_ports, _STRETCH):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for address in addresses:
                held.enter_context(socket.socket()).bind((address, port))
            return port
    raise AssertionError("no free port")


def _own_stretch() -> Iterator[int]:
    """Return the ports of this worker, in a circle: two runs at once begin at different places."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST + worker % _STRETCHES * _STRETCH
    start = random.SystemRandom().randrange(_STRETCH)
    return itertools.cycle(first + (start + step) % _STRETCH for step in range(_STRETCH))


_ports = _own_stretch()
