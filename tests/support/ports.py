"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import contextlib
import socket


def free_port(*addresses: str) -> int:
    """Return a port that is free on every one of `addresses`."""
    for _ in range(50):
        with contextlib.ExitStack() as held:
            port = 0
            try:
                for address in addresses:
                    probe = held.enter_context(socket.socket())
                    probe.bind((address, port))
                    port = int(probe.getsockname()[1])
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
