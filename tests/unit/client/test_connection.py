"""What a connection is opened with."""

from __future__ import annotations

from lipserve_client._connection import CHANNEL_OPTIONS

PING_MILLISECONDS = 300_000  # Triton's --grpc-http2-min-recv-ping-interval-without-data, by default


def test_a_long_request_is_not_ended_for_its_pings() -> None:
    """Requests of over 200 s came back as "Too many pings" when they were sent every 40 s."""
    options = dict(CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] > PING_MILLISECONDS
    assert options["grpc.http2.max_pings_without_data"] == 0
