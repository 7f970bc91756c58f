"""What a connection is opened with."""

from __future__ import annotations

import asyncio
import socket

import pytest

from lipserve_client._connection import CHANNEL_OPTIONS, Connection
from tests.support.scripted_triton import StartTriton

PING_MILLISECONDS = 300_000  # Triton's --grpc-http2-min-recv-ping-interval-without-data, by default


def test_a_long_request_is_not_ended_for_its_pings() -> None:
    """Requests of over 200 s came back as "Too many pings" when they were sent every 40 s."""
    options = dict(CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] > PING_MILLISECONDS
    assert options["grpc.http2.max_pings_without_data"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_this_machine(
    host: str, start_triton: StartTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("grpc_proxy", "https_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    triton = start_triton()
    with socket.socket() as dead:  # bound, so that nobody else takes it; not listening
        dead.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{dead.getsockname()[1]}")
        connection = Connection(f"{host}:{triton.port}")
        asyncio.run(connection.reach())
        connection.close()
