"""Hosts that a server listens on, and how they are called."""

from __future__ import annotations

import socket

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
