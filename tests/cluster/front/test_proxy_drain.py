"""An Envoy is taken away under load, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.front.conftest import ADDRESSES, Caller
from tests.cluster.monitoring import until
from tests.cluster.proxy import Names, Proxy, free_port, running

pytestmark = pytest.mark.serve

VALUES = {
    "lifecycle": {"longestSegmentSeconds": 1, "preStopSeconds": 5},
    "envoy": {"enabled": True},
    "tests": {"enabled": False},
}


class Callers:
    """Clients of both proxies: gRPC's own round robin, no tries but the first."""

    def __init__(self, port: int, count: int, make: Callable[..., Caller]) -> None:
        self.outcomes: list[str] = []
        self._stopping = threading.Event()
        addresses = ",".join(f"{address}:{port}" for address in ADDRESSES)
        self._threads = [
            threading.Thread(target=self._run, args=(make(f"ipv4:{addresses}"), number))
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, client: Caller, number: int) -> None:
        while not self._stopping.is_set():
            # One in four is long.
            self.outcomes.append(client.infer(seconds=3.0 if number % 4 == 0 else 0.02))

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def test_a_proxy_goes_without_a_loss(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    objects = render(VALUES)
    port = free_port(*ADDRESSES)
    proxies = [
        Proxy(objects, tmp_path / address, ports, names, address=address, port=port) for address in ADDRESSES
    ]
    with running(*proxies):
        callers = Callers(port, 8, caller)
        try:
            time.sleep(1.0)
            began = time.monotonic()
            proxies[1].drain()
            seconds = time.monotonic() - began
            time.sleep(1.0)
        finally:
            callers.stop()
    assert 11.0 <= seconds < 25.0  # the hook's 5 + 6 seconds, and what was under way
    assert len(callers.outcomes) > 200
    assert set(callers.outcomes) == {""}


def test_connections_that_have_lasted_long_enough_go_without_a_loss(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    port = free_port(*ADDRESSES)
    proxy = Proxy(render(VALUES), tmp_path, ports, names, port=port)
    (manager,) = (
        listener["filter_chains"][0]["filters"][0]["typed_config"]
        for listener in proxy.bootstrap["static_resources"]["listeners"]
        if listener["name"] == "grpc"
    )
    manager["common_http_protocol_options"]["max_connection_duration"] = "1s"
    manager["drain_timeout"] = "0.5s"
    with running(proxy):
        callers = Callers(port, 4, caller)
        try:
            time.sleep(5.0)
            ended = "http.grpc.downstream_cx_max_duration_reached"
            until(lambda: proxy.stat(ended) >= 4, "every caller's connection has ended")
        finally:
            callers.stop()
    assert set(callers.outcomes) == {""}
