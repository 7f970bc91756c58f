"""`lipserve ops drain`: a real pod's process that works, is waited for, told to end, and loses nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import portrait
from lipserve import Client, DubResult
from lipserve_ops import drain
from lipserve_ops.metrics import PodMetrics
from tests.cluster.ops.conftest import Operate
from tests.cluster.ops.stand_in import Object, StandIn
from tests.support.servers import PodProgram
from tests.support.waiting import until

pytestmark = pytest.mark.serve

AddPod = Callable[..., Object]
SERVING = "lipserve-serving"


@pytest.fixture
def ending(exported_lipwarp: Path, tmp_path: Path) -> Iterator[PodProgram]:
    """A pod's process that a test may end."""
    with PodProgram(exported_lipwarp, tmp_path / "work", "--exit-timeout=60") as pod:
        assert pod.url
        yield pod


def test_a_pod_ends_when_all_that_it_accepted_is_answered(
    installed: StandIn,
    add_pod: AddPod,
    ending: PodProgram,
    operate: Operate,
    short_speech: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod = add_pod("lipserve-a", ending)
    add_pod("lipserve-b")
    assert pod["metadata"]["labels"][SERVING] == "true"
    answered_at: list[float] = []
    deleted_at: list[float] = []
    results: list[DubResult] = []
    seen_at_work, progress = threading.Event(), drain._progress

    def seen(told: PodMetrics, *times: Any) -> str:
        if told.in_flight:
            seen_at_work.set()
        return progress(told, *times)

    def wait_for_the_process() -> None:
        ending.process.wait()
        installed.remove("pods", "lipserve-a")

    def end(gone: Object) -> None:
        deleted_at.append(time.monotonic())
        ending.process.send_signal(signal.SIGTERM)
        threading.Thread(target=wait_for_the_process).start()

    def call() -> None:
        with Client(ending.url, timeout=100, retries=0) as client:
            while not seen_at_work.is_set():
                results.append(client.dub(clip, short_speech))
        answered_at.append(time.monotonic())

    installed.on_delete = end
    monkeypatch.setattr("lipserve_ops.drain._progress", seen)
    clip = portrait.clip(2.0, (128, 128))
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: bool(results), "an answer")
    code, out, err = operate("drain", "lipserve-a", "--settle", "2")
    for thread in threads:
        thread.join()
    assert (code, out) == (0, "lipserve-a is drained and gone.\n")
    assert len(answered_at) == len(threads)
    assert {result.report.frames for result in results} == {50}
    assert max(answered_at) < deleted_at[0] - 1
    assert ending.process.returncode == 0
    assert SERVING not in pod["metadata"]["labels"]
    told = [line.removeprefix("lipserve-a: ") for line in err.splitlines()]
    assert told[0] == "taking it out of the endpoints"
    assert any("segments at work" in line for line in told)
    assert any(line.startswith("idle for ") for line in told)
    assert told[-1].startswith("deleted, ending for ")


def test_the_last_ready_pod_stays(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate
) -> None:
    add_pod("lipserve-a", serving)
    add_pod("lipserve-b", conditions=[{"type": "Ready", "status": "False"}])
    code, _, err = operate("drain", "lipserve-a")
    assert code == 5
    assert "lipserve-a is the last ready pod of lipserve" in err
    assert "--force" in err
    assert (installed.patched, installed.deleted) == ([], [])


def test_force_ends_the_last_one(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate
) -> None:
    add_pod("lipserve-a", serving)
    installed.on_delete = lambda gone: installed.remove("pods", "lipserve-a")
    assert operate("drain", "lipserve-a", "--force", "--settle", "0")[0] == 0
    assert [gone["metadata"]["name"] for gone in installed.deleted] == ["lipserve-a"]


def test_a_pod_that_stays_busy_is_put_back(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate, short_speech: bytes
) -> None:
    pod = add_pod("lipserve-a", serving)
    add_pod("lipserve-b")
    stop, clip = threading.Event(), portrait.clip(1.0, (128, 128))

    def call() -> None:
        with Client(serving.url, timeout=100) as client:
            while not stop.is_set():
                client.dub(clip, short_speech)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        code, _, err = operate("drain", "lipserve-a", "--timeout", "2", "--settle", "60")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert code == 5
    assert "lipserve-a still " in err
    assert pod["metadata"]["labels"][SERVING] == "true"
    assert len(installed.patched) == 2
    assert installed.deleted == []


def test_a_service_that_a_pod_cannot_leave_is_named(
    installed: StandIn, add_pod: AddPod, operate: Operate
) -> None:
    add_pod("lipserve-a")
    add_pod("lipserve-b")
    spec = {"selector": {"app.kubernetes.io/instance": "lipserve"}}
    installed.put("services", {"kind": "Service", "metadata": {"name": "own"}, "spec": spec})
    code, _, err = operate("drain", "lipserve-a")
    assert code == 5
    assert "The Service own selects by the labels of the Deployment alone" in err
    assert (installed.patched, installed.deleted) == ([], [])


def test_pods_that_are_gone_going_or_another_s(installed: StandIn, add_pod: AddPod, operate: Operate) -> None:
    add_pod("lipserve-a")["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    add_pod("other")["metadata"]["labels"]["app.kubernetes.io/component"] = "envoy"
    assert "There is no pod lipserve-z" in operate("drain", "lipserve-z")[2]
    assert "is being deleted already" in operate("drain", "lipserve-a")[2]
    assert "other is no server's pod of the release lipserve" in operate("drain", "other")[2]


def test_ctrl_c_puts_the_pod_back(
    installed: StandIn,
    add_pod: AddPod,
    serving: PodProgram,
    operate: Operate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod = add_pod("lipserve-a", serving)
    add_pod("lipserve-b")

    def interrupt(*told: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("lipserve_ops.drain._progress", interrupt)
    assert operate("drain", "lipserve-a")[0] == 130
    assert pod["metadata"]["labels"][SERVING] == "true"
    assert installed.deleted == []
