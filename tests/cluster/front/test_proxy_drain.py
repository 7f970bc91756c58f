"""An Envoy is taken away, or ends a connection, under load: every call that it gets is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferRequestedOutput

from lipserve.errors import LipServeError
from lipserve_client._connection import CHANNEL_OPTIONS, Connection
from tests.cluster.front.conftest import ADDRESSES, OPTIONS
from tests.cluster.front.relay import Relay
from tests.cluster.proxy import Names, Proxy, free_port, running
from tests.support.waiting import until

pytestmark = pytest.mark.serve

VALUES = {
    "lifecycle": {"longestSegmentSeconds": 1, "preStopSeconds": 5},
    "envoy": {"enabled": True},
    "tests": {"enabled": False},
}
LARGE = 100_000  # values: 400 kB are more than gRPC keeps of a request unless it is told to
ENDED = "http.grpc.downstream_cx_max_duration_reached"


class Callers:
    """Calls one after the other, each of these in its own thread, until they are stopped.

    Attributes:
        outcomes: of every call, as `Caller.infer` returns it.
    """

    def __init__(self, calls: Sequence[Callable[[], str]]) -> None:
        self.outcomes: list[str] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(call,)) for call in calls]
        for thread in self._threads:
            thread.start()

    def _run(self, call: Callable[[], str]) -> None:
        while not self._stopping.is_set():
            self.outcomes.append(call())

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def calls_of(caller: Any, url: str, count: int) -> list[Callable[[], str]]:
    """Return calls of `count` clients of their own; one in four is long."""
    return [partial(caller(url).infer, seconds=3.0 if number % 4 == 0 else 0.02) for number in range(count)]


def calls_of_ours(connection: Connection) -> Callable[[], str]:
    """Return large calls as LipServe's client makes each of its tries."""
    x = np.arange(LARGE, dtype=np.float32)
    tensor = InferInput("X", [LARGE], "FP32")
    tensor.set_data_from_numpy(x)

    def call() -> str:
        try:
            answer = asyncio.run(connection.infer("negate", [tensor], [InferRequestedOutput("Y")], 20.0))
        except LipServeError as error:
            return str(error)
        return "" if np.array_equal(answer.as_numpy("Y"), -x) else "a wrong answer"

    return call


def ageing(
    objects: Any, folder: Path, ports: dict[str, int], names: Names, age: int, drain: float | None = None
) -> Proxy:
    """Return the chart's Envoy, whose connections end after `age` seconds, within `drain` or the chart's."""
    proxy = Proxy(objects, folder, ports, names)
    (manager,) = (
        listener["filter_chains"][0]["filters"][0]["typed_config"]
        for listener in proxy.bootstrap["static_resources"]["listeners"]
        if listener["name"] == "grpc"
    )
    manager["common_http_protocol_options"]["max_connection_duration"] = f"{age}s"
    if drain is not None:
        manager["drain_timeout"] = f"{drain}s"
    return proxy


def test_a_proxy_goes_without_a_loss(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    objects = render(VALUES)
    port = free_port(*ADDRESSES)
    proxies = [
        Proxy(objects, tmp_path / address, ports, names, address=address, port=port) for address in ADDRESSES
    ]
    with running(*proxies):
        callers = Callers(calls_of(caller, "ipv4:" + ",".join(proxy.url for proxy in proxies), 8))
        try:
            time.sleep(1.0)
            began = time.monotonic()
            proxies[1].drain()
            seconds = time.monotonic() - began
            time.sleep(1.0)
        finally:
            callers.stop()
    assert 13.0 <= seconds < 60.0  # the hook's 5 + 6 + 2 seconds, and what was under way
    assert len(callers.outcomes) > 200
    assert set(callers.outcomes) == {""}


def test_connections_that_have_lasted_long_enough_go_without_a_loss(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    """Envoy gets each call once, and answers it: gRPC takes what GOAWAY meets to the next connection."""
    proxy = ageing(render(VALUES), tmp_path, ports, names, 1, drain=0.5)
    ours = Connection(proxy.url)
    with running(proxy):
        callers = Callers([*calls_of(caller, proxy.url, 4), calls_of_ours(ours)])
        try:
            time.sleep(5.0)
            until(lambda: proxy.stat(ENDED) >= 10, "every caller's connection has ended, most of them twice")
        finally:
            callers.stop()
            ours.close()
        assert proxy.stat("http.grpc.downstream_rq_total") == len(callers.outcomes)
    assert set(callers.outcomes) == {""}


def calls_under_way(
    relay: Relay, proxy: Proxy, caller: Any, pool: ThreadPoolExecutor
) -> dict[str, Future[str]]:
    """Return calls by the kind of their client: each has left before Envoy says GOAWAY, and not arrived."""
    kinds = {
        "as gRPC comes": (OPTIONS, 4),
        "large": (OPTIONS, LARGE),
        "large, from LipServe's client": (CHANNEL_OPTIONS, LARGE),
        "without gRPC's retries": ((*OPTIONS, ("grpc.enable_retries", 0)), 4),
    }
    clients = {kind: caller(relay.url, options=options) for kind, (options, _) in kinds.items()}
    assert {client.infer() for client in clients.values()} == {""}  # they are connected
    relay.hold()
    calls = {kind: pool.submit(clients[kind].infer, values) for kind, (_, values) in kinds.items()}
    until(lambda: relay.waiting() == len(kinds), "every call is under way")
    assert proxy.stat(ENDED) == 0
    until(lambda: proxy.stat(ENDED) >= len(kinds), "every connection has been told to end")
    return calls


def test_a_call_under_way_while_envoy_drains_its_connection_is_answered(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    """The first GOAWAY refuses none, and the chart gives what is under way five seconds to come."""
    proxy = ageing(render(VALUES), tmp_path, ports, names, 4)
    with running(proxy), closing(Relay(proxy.url)) as network, ThreadPoolExecutor(4) as pool:
        calls = calls_under_way(network, proxy, caller, pool)
        network.release()
        assert {call.result() for call in calls.values()} == {""}


def test_a_call_that_envoy_does_not_see_starts_again_where_grpc_may(
    render: Any, pods: Any, ports: Any, names: Names, tmp_path: Path, caller: Any
) -> None:
    """GOAWAY tells a client which calls were not seen; those that had not left yet are treated the same."""
    proxy = ageing(render(VALUES), tmp_path, ports, names, 4, drain=0.5)
    with running(proxy), closing(Relay(proxy.url)) as network, ThreadPoolExecutor(4) as pool:
        calls = calls_under_way(network, proxy, caller, pool)
        outcomes = {kind: call.result() for kind, call in calls.items()}
    lost = {kind for kind, outcome in outcomes.items() if outcome}
    assert lost == {"large", "without gRPC's retries"}
    assert all("GOAWAY received" in outcomes[kind] for kind in lost)
