"""Which pod a request goes to, and where it goes when that one does not want it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferRequestedOutput

from lipserve_client._connection import Connection
from tests.support.waiting import until

pytestmark = pytest.mark.serve


def counted(pods: Any, requests: int, call: Callable[[], None]) -> list[int]:
    """Return how many of the `requests` that `call` makes each pod answered."""
    before = [pod.count() for pod in pods]

    def shares() -> list[int]:
        return [pod.count() - count for pod, count in zip(pods, before, strict=True)]

    call()
    until(lambda: sum(shares()) >= requests)  # Triton counts a request after it has answered it
    return shares()


def test_one_connection_is_spread_over_the_pods(pods: Any, proxy: Any, caller: Any) -> None:
    client = caller(proxy({}).url)

    def call() -> None:
        assert {client.infer() for _ in range(40)} == {""}

    shares = counted(pods, 40, call)
    assert sum(shares) == 40
    assert min(shares) >= 8


def test_the_client_spreads_its_calls_over_the_addresses_of_a_name(pods: Any) -> None:
    """Without Envoy: what the name of the headless Service gives gRPC is this list."""
    connection = Connection("ipv4:" + ",".join(pod.url for pod in pods))
    tensor = InferInput("X", [4], "FP32")
    tensor.set_data_from_numpy(np.zeros(4, np.float32))

    async def calls(count: int) -> None:
        await connection.reach()
        for _ in range(count):
            await connection.infer("negate", [tensor], [InferRequestedOutput("Y")], 20.0)

    reached: set[int] = set()

    def all_are_reached() -> bool:
        reached.add(counted(pods, 1, lambda: asyncio.run(calls(1))).index(1))
        return len(reached) == len(pods)

    until(all_are_reached)  # the first calls may find one connection alone
    shares = counted(pods, 20, lambda: asyncio.run(calls(20)))
    connection.close()
    assert sum(shares) == 20
    assert min(shares) >= 8


def test_the_pod_that_is_busy_gets_less(pods: Any, names: Any, proxy: Any, caller: Any, held: Path) -> None:
    names.addresses = [pods[0].address]
    envoy = proxy({})
    busy, client = caller(envoy.url), caller(envoy.url)

    def call() -> None:
        with ThreadPoolExecutor() as pool:
            long = pool.submit(busy.infer, timeout=60.0, held=held)
            until(lambda: envoy.stat("cluster.triton.upstream_rq_active") == 1)
            names.addresses = [pod.address for pod in pods]
            until(lambda: envoy.stat("cluster.triton.membership_healthy") == 2)
            assert {client.infer() for _ in range(60)} == {""}
            held.unlink()
            assert long.result() == ""

    # A draw of four pods is of the busy one alone in a sixteenth of the calls: this is never too many of 61.
    assert counted(pods, 61, call)[0] <= 20


def test_what_a_draining_pod_refuses_is_answered_by_another(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    pods[0].control.unload_model("negate")
    until(lambda: not pods[0].control.is_model_ready("negate"))
    assert "has no available versions" in caller(pods[0].url).infer()  # Triton's own words
    assert {client.infer() for _ in range(60)} == {""}
    assert envoy.stat("cluster.triton.upstream_rq_retry_success") > 5


def test_without_retries_the_same_requests_are_lost(pods: Any, proxy: Any, caller: Any) -> None:
    client = caller(proxy({"envoy": {"retries": {"attempts": 0}}}).url)
    pods[0].control.unload_model("negate")
    until(lambda: not pods[0].control.is_model_ready("negate"))
    outcomes = [client.infer() for _ in range(60)]
    lost = [outcome for outcome in outcomes if outcome]
    assert len(lost) > 5
    assert all(outcome.startswith("NOT_FOUND") for outcome in lost)


def test_a_model_that_nobody_holds_is_not_asked_for_twice(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    with pytest.raises(Exception, match="unknown model"):
        client.client.infer("nobodys", [])
    assert envoy.stat("cluster.triton.upstream_rq_retry") == 0


def test_a_pod_that_is_not_ready_is_left(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    until(lambda: envoy.stat("cluster.triton.membership_healthy") == 2)
    pods[1].ready = False
    until(lambda: envoy.stat("cluster.triton.membership_healthy") == 1)

    def call() -> None:
        assert {client.infer() for _ in range(20)} == {""}

    assert counted(pods, 20, call) == [20, 0]
    pods[0].ready = False
    until(lambda: envoy.stat("cluster.triton.membership_healthy") == 0)
    assert client.infer().startswith("UNAVAILABLE no healthy upstream")


def test_a_pod_that_leaves_dns_gets_nothing_new_and_finishes(
    pods: Any, names: Any, proxy: Any, caller: Any, held: Path
) -> None:
    envoy = proxy({})
    client = caller(envoy.url)

    def call() -> None:
        with ThreadPoolExecutor() as pool:
            long = [pool.submit(caller(envoy.url).infer, timeout=60.0, held=held) for _ in range(4)]
            until(lambda: envoy.stat("cluster.triton.upstream_rq_active") == 4)
            names.addresses = ["127.0.0.1"]  # healthy all the same: its readiness has not changed
            seconds = until(lambda: envoy.stat("cluster.triton.membership_total") == 1)
            active = envoy.stat("cluster.triton.upstream_rq_active")
            held.unlink()
            assert {client.infer() for _ in range(10)} == {""}
            assert [one.result() for one in long] == [""] * 4
        assert active == 4
        assert seconds < 10.0  # of the 30 s that DNS said its answer was good for

    assert counted(pods, 14, call)[1] <= 3  # what it was at


def test_a_deadline_ends_a_request_as_such(pods: Any, proxy: Any, caller: Any, held: Path) -> None:
    times = {"longestSegmentSeconds": 1, "exitTimeoutSeconds": 2}
    client = caller(proxy({"lifecycle": times, "envoy": {"requestTimeoutSeconds": 2}}).url)
    began = time.monotonic()
    assert client.infer(timeout=None, held=held).startswith("DEADLINE_EXCEEDED")
    assert 1.9 < time.monotonic() - began < 60.0  # whoever calls has set no deadline, and it is held for ever


def test_a_pod_that_cannot_be_reached_is_left_out_and_costs_no_request(
    pods: Any, names: Any, health_port: Callable[[str], None], proxy: Any, caller: Any
) -> None:
    names.addresses = [pods[0].address, "127.0.0.3"]  # says that it is ready, and nothing listens
    health_port("127.0.0.3")
    envoy = proxy({})
    assert envoy.stat("cluster.triton.membership_healthy") == 2
    client = caller(envoy.url)
    assert {client.infer() for _ in range(30)} == {""}
    assert envoy.stat("cluster.triton.outlier_detection.ejections_active") == 1


def test_errors_of_requests_put_no_pod_aside(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    outcomes = [client.infer(seconds="a word") for _ in range(30)]  # type: ignore[arg-type]
    assert all(outcome.startswith("INTERNAL") for outcome in outcomes)
    assert envoy.stat("cluster.triton.outlier_detection.ejections_active") == 0
    assert envoy.stat("cluster.triton.upstream_rq_retry") == 0
    assert client.infer() == ""
