"""The kernel's list of connections, on real sockets."""

from __future__ import annotations

import socket

import pytest

from lipserve_server.connections import established


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"]
)
def test_connections_are_counted_from_the_call_to_the_end(family: socket.AddressFamily, host: str) -> None:
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        assert established(port) == 0
        with (
            socket.create_connection((host, port)),
            socket.create_connection((host, port)) as second,
        ):
            assert established(port) == 2  # before the server has accepted any
            second.close()
            assert established(port) == 1
            with server.accept()[0] as accepted:
                assert accepted.getsockname()[1] == port
                assert established(port) == 1
