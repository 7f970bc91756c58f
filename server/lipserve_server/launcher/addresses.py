"""Host names and ports: those to listen on, and those to connect to."""

from __future__ import annotations

import contextlib
import socket

from lipserve.errors import SetupError

HOST = "127.0.0.1"
"""The embedded server listens here and nowhere else: it has no TLS and no authentication."""

_LOOPBACK = {"0.0.0.0": HOST, "": HOST, "::": "::1"}  # of wildcards


def reached_at(host: str) -> str:
    """Return the host to connect to, from this machine, for a server that listens on `host`."""
    return _LOOPBACK.get(host, host)


def bracketed(host: str) -> str:
    """Return a host as it is written before a port: an IPv6 address in brackets, [::1]."""
    return f"[{host}]" if ":" in host else host


def family(host: str) -> socket.AddressFamily:
    """Return the socket family of `host`."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def free_ports(host: str, *ports: int) -> tuple[int, int]:
    """Return the ports, each 0 replaced by a free one, or raise where one is taken."""
    chosen = []
    with contextlib.ExitStack() as held:
        for port in ports:
            probe = held.enter_context(socket.socket(family(host)))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise SetupError(
                    f"Port {port} of {host} cannot be opened: {getattr(error, 'strerror', error)}.",
                    "Stop the program that listens there, or choose another port (0 picks a free one).",
                ) from error
            chosen.append(int(probe.getsockname()[1]))
    return chosen[0], chosen[1]
