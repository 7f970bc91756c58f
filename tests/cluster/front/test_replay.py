"""Which requests Envoy sends to another pod, by what the guard of the first one answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lipserve.errors import ProcessDiedError, from_wire
from lipserve_server.inside.callers import Callers
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher.guard.admission import Admission
from lipserve_server.launcher.guard.guard import Door, Guard
from tests.cluster.front.relay import Relay
from tests.cluster.proxy import free_port, only
from tests.support.waiting import until

from .conftest import ADDRESSES

PLACES = 1  # of the model `negate` in each guard
WAITING = 1


class GuardedPod:
    """A guard in front of one of `pods`; its connection to Triton can be cut, as when Triton ends."""

    def __init__(self, pod: Any, address: str, port: int, folder: Path) -> None:
        self._pod = pod
        self._relay = Relay(pod.url)
        self.admission = Admission({"negate": PLACES}, Limits(waiting=WAITING))
        door = Door(f"{address}:{port}")
        self._guard = Guard(door, self._relay.url, self.admission, Callers(folder), "none")
        self._guard.start()

    def cut(self) -> None:
        self._relay.close()

    def clients(self) -> set[str]:
        return set(self._guard.records.usage())

    def count(self) -> int:
        return int(self._pod.count())

    def close(self) -> None:
        self._guard.stop(0)
        self._relay.close()


@pytest.fixture
def guarded(
    pods: Any, ports: dict[str, int], tmp_path: Path
) -> Iterator[tuple[list[GuardedPod], dict[str, int]]]:
    """Two guarded pods, and the ports that an Envoy in front of them takes."""
    grpc_port = free_port(*ADDRESSES)
    with contextlib.ExitStack() as opened:
        made = []
        for pod, address in zip(pods, ADDRESSES, strict=True):
            folder = tmp_path / f"callers-{address}"
            made.append(GuardedPod(pod, address, grpc_port, folder))
            opened.callback(made[-1].close)
        yield made, {"grpc": grpc_port, "health": ports["health"]}


@pytest.fixture
def envoy(guarded: Any, proxy: Callable[..., Any]) -> Any:
    return proxy({}, own_ports=guarded[1])


def test_a_request_at_which_a_triton_ended_is_not_sent_to_another_pod(
    guarded: Any, envoy: Any, caller: Any, held: Path
) -> None:
    (first, second), _ = guarded
    client = caller(envoy.url)
    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(client.infer, held=held)
        busy = until_one_is_busy(first, second)
        other = second if busy is first else first
        before = other.count()
        busy.cut()
        error = from_wire(outcome.result())
    assert isinstance(error, ProcessDiedError)
    assert other.count() == before
    assert envoy.stat("cluster.triton.upstream_rq_retry") == 0


def test_a_request_that_a_draining_guard_refuses_is_answered_by_another_pod(
    guarded: Any, envoy: Any, caller: Any
) -> None:
    (first, _), _ = guarded
    client = caller(envoy.url)
    first.admission.close()
    assert {client.infer() for _ in range(30)} == {""}
    assert envoy.stat("cluster.triton.upstream_rq_retry_success") > 3


def test_a_request_that_a_full_guard_refuses_is_answered_by_another_pod(
    guarded: Any, envoy: Any, caller: Any, held: Path
) -> None:
    (first, second), _ = guarded
    client = caller(envoy.url)
    with ThreadPoolExecutor() as threads:
        # Past Envoy, to the first pod alone: one request at work, and one that waits.
        direct = caller(f"{ADDRESSES[0]}:{guarded[1]['grpc']}")
        holding = [threads.submit(direct.infer, held=held) for _ in range(PLACES + WAITING)]
        until(lambda: first.admission.queue(["negate"])[0] == WAITING)
        assert "[lipserve:server_full]" in direct.infer()
        before = second.count()
        assert {client.infer() for _ in range(30)} == {""}
        until(lambda: second.count() == before + 30)  # Triton counts a request after it has answered it
        held.unlink()
        assert [each.result() for each in holding] == [""] * len(holding)
    assert envoy.stat("cluster.triton.upstream_rq_retry_success") > 0


def test_pods_are_told_of_each_client_by_its_key_or_else_its_address(
    render: Any, guarded: Any, proxy: Any, caller: Any
) -> None:
    both, ports = guarded
    assert caller(proxy({}, own_ports=ports).url, x_lipserve_client="forged").infer() == ""
    values = {"auth": {"mode": "apiKey", "apiKey": {"keys": {"studio": "studio-0123456789abcdef"}}}}
    secret = only(render({"envoy": {"enabled": True, **values}}), "Secret", "lipserve-api-keys")["stringData"]
    envoy = proxy({"envoy": values}, {"api-keys": secret}, own_ports=ports)
    assert caller(envoy.url, x_api_key="studio-0123456789abcdef").infer() == ""
    assert both[0].clients() | both[1].clients() == {"127.0.0.1", "studio"}


def until_one_is_busy(*guarded: GuardedPod) -> GuardedPod:
    """Return the pod that has taken a request."""

    def busy() -> list[GuardedPod]:
        return [pod for pod in guarded if not pod.admission.quiet(["negate"], 0)]

    until(lambda: bool(busy()))
    return busy()[0]
