"""`lipserve serve` ends when it is told to, having answered what it accepted, and leaves nothing behind.

Its server is of one tier: how it ends does not depend on how many it serves, and it starts in half the time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lipserve import Client, DubResult
from tests.support.processes import session
from tests.support.servers import ServeProgram, port_of
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What Triton says."""
    return tmp_path / "triton.log"


@pytest.fixture
def served(exported_wav2lip: Path, log: Path) -> Iterator[ServeProgram]:
    with ServeProgram(exported_wav2lip, "--log-file", log) as made:
        yield made


def assert_nothing_was_unloaded(log: Path) -> None:
    """That would take Triton five seconds, and it would count them in its log."""
    assert "Started Metrics Service" in log.read_text()
    assert "Waiting for in-flight requests to complete" not in log.read_text()


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.whole)],
    ids=["SIGTERM", "SIGINT"],
)
def test_work_in_flight_is_answered(
    served: ServeProgram, number: signal.Signals, calls: Callable[..., Any], log: Path
) -> None:
    under_way = calls(served.url, tier="wav2lip")
    under_way.start(2)
    until(lambda: served.in_flight() >= 2, "they are not begun")
    served.process.send_signal(number)
    outcomes = under_way.wait()
    assert [type(outcome) for outcome in outcomes] == [DubResult, DubResult], outcomes
    assert served.ends() == 0, served.said
    assert served.left() == []
    assert_nothing_was_unloaded(log)


def test_a_second_signal_does_not_wait(served: ServeProgram, calls: Callable[..., Any]) -> None:
    under_way = calls(served.url, tier="wav2lip")
    under_way.start(2)
    until(served.in_flight, "they are not begun")
    served.process.send_signal(signal.SIGINT)
    served.find("Stopping: accepted requests")
    served.process.send_signal(signal.SIGINT)
    assert served.ends() == 1  # it is 0 where the second one is not heard
    assert all(outcome.retryable for outcome in under_way.wait())
    assert served.left() == []


@pytest.mark.whole  # with work in flight: above
def test_an_idle_server_ends_without_unloading_its_stages(
    served: ServeProgram, calls: Callable[..., Any], log: Path
) -> None:
    under_way = calls(served.url, tier="wav2lip")
    under_way.start(1)
    assert [type(outcome) for outcome in under_way.wait()] == [DubResult]
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == 0, served.said
    assert served.left() == []
    assert_nothing_was_unloaded(log)


def test_a_port_is_had_again_the_moment_its_launcher_was_killed(
    served: ServeProgram, exported_wav2lip: Path
) -> None:
    ports = port_of(served.url), port_of(served.metrics_url)
    served.process.kill()
    served.ends()
    with ServeProgram(exported_wav2lip, ports=ports) as second:
        assert second.url == served.url
        second.process.send_signal(signal.SIGTERM)
        assert second.ends() == 0


def test_a_triton_that_ends_is_started_anew_and_loses_no_request(
    served: ServeProgram, calls: Callable[..., Any], media: tuple[str, str]
) -> None:
    with Client(served.url, timeout=100, provenance=False) as client:
        right = client.dub(*media, tier="wav2lip").content
    under_way = calls(served.url, tier="wav2lip")
    under_way.start(2, retries=8)
    until(served.in_flight, "they are not begun")
    os.kill(served.first_triton, signal.SIGSEGV)
    # The client asks first whether anybody is there.
    with Client(served.url, timeout=100, provenance=False) as client:
        assert client.dub(*media, tier="wav2lip").content == right
    assert [type(outcome) for outcome in under_way.wait()] == [DubResult, DubResult]
    served.find("Triton is back after")
    assert session(served.first_triton) == []
    triton = served.triton
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == 0, served.said
    assert session(triton) == served.left() == []


@pytest.mark.whole  # of a pod, which starts none anew: test_pod_command.py
def test_a_triton_that_does_not_come_back_is_reported(served: ServeProgram) -> None:
    os.kill(served.triton, signal.SIGKILL)
    served.find("Triton has ended: it is started anew")
    until(served.tritons, "it is not started")
    os.kill(served.triton, signal.SIGKILL)
    assert served.ends() == 1
    assert "Triton ended by itself (-9)" in served.said
    assert served.left() == []


@pytest.mark.whole
def test_a_killed_launcher_leaves_no_server(served: ServeProgram, exported_wav2lip: Path) -> None:
    served.process.kill()
    served.ends()
    until(lambda: not session(served.first_triton), "a process is left")
    # What it could not remove any more, the next start does.
    with ServeProgram(exported_wav2lip) as second:
        assert served.left() == []
        second.process.send_signal(signal.SIGTERM)
        assert second.ends() == 0
