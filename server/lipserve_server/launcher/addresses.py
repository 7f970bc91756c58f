"""Hosts that a server listens on, and how they are called."""

from __future__ import annotations

import contextlib
import socket

from lipserve.errors import SetupError

HOST = "127.0.0.1"
"""The embedded server listens here and nowhere else: it has no TLS and no authentication."""

_LOOPBACK = {"0.0.0.0": HOST, "": HOST, "::": "::1"}  # of wildcards


def reached_at(host: str) -> str:
    """Return what this machine calls to reach what listens on `host`."""
    return _LOOPBACK.get(host, host)


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: [::1] where it is an address of IPv6."""
    return f"[{host}]" if ":" in host else host


def family(host: str) -> socket.AddressFamily:
    """Return which sockets `host` is for."""
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
                    f"Port {port} of {host} cannot be had: {getattr(error, 'strerror', error)}.",
                    "Stop what listens there, or choose another port (0 picks a free one).",
                ) from error
            chosen.append(int(probe.getsockname()[1]))
    return chosen[0], chosen[1]
