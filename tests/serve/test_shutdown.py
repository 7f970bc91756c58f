"""`lipserve serve` ends when it is told to, having answered what it accepted, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lipserve import Client, DubResult
from tests.support.waiting import until

from .conftest import promptly

pytestmark = [pytest.mark.serve, pytest.mark.slow]

COMMAND = (
    "import sys; from pathlib import Path; from lipserve_server.launcher.embedded import serve;"
    "sys.exit(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))"
)


class Served:
    """A `serve` in a process of its own.

    Args:
        before: of its command line.
    """

    def __init__(
        self, repository: Path, grpc_port: int = 0, metrics_port: int = 0, before: Sequence[str] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", COMMAND, repository, str(grpc_port), str(metrics_port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        match = self.wait_for(r"gRPC (\S+), metrics (\S+)\. ")
        self.url, self.metrics_url = match[1], match[2]
        (self.triton,) = [int(pid) for pid in children(self.process.pid)]

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout)

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            match = re.search(pattern, "".join(self.said))
            if match:
                return match
            time.sleep(0.05)
        pytest.fail("".join(self.said))

    def in_flight(self) -> int:
        with urllib.request.urlopen(self.metrics_url, timeout=10) as page:
            found = re.findall(r"lipserve_segments_in_flight\{.*?\} (\d+)", page.read().decode())
        return sum(map(int, found))

    def ends(self, seconds: float) -> int:
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def left(self) -> list[str]:
        """Return what is left of it: processes, shared memory, temporary directories."""
        alive = [f"process {pid}" for pid in session(self.triton)]
        name = f"lipserve_server_{self.process.pid}_*"
        places = (Path("/dev/shm"), Path(tempfile.gettempdir()))
        return alive + [str(path) for place in places for path in place.glob(name)]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pid in session(self.triton):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def children(pid: int) -> list[str]:
    return [c for task in Path(f"/proc/{pid}/task").glob("*/children") for c in task.read_text().split()]


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == leader and words[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def served(exported: Path) -> Iterator[Served]:
    made = Served(exported)
    yield made
    made.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_work_in_flight_is_answered(
    served: Served, number: signal.Signals, calls: Callable[[str], Any]
) -> None:
    under_way = calls(served.url)
    under_way.start(2)
    until(lambda: served.in_flight() >= 2, "they are not begun")
    served.process.send_signal(number)
    outcomes = under_way.wait()
    assert [type(outcome) for outcome in outcomes] == [DubResult, DubResult], outcomes
    assert served.ends(30) == 0, "".join(served.said)
    assert served.left() == []


def test_a_second_signal_does_not_wait(served: Served, calls: Callable[[str], Any]) -> None:
    under_way = calls(served.url)
    under_way.start(2)
    until(served.in_flight, "they are not begun")
    served.process.send_signal(signal.SIGINT)
    served.wait_for("Stopping: accepted requests")
    served.process.send_signal(signal.SIGINT)
    assert served.ends(10) == 1  # it is 0 where the second one is not heard
    assert all(outcome.retryable for outcome in under_way.wait())
    assert served.left() == []


def test_at_rest_it_ends_at_once(exported: Path, calls: Callable[[str], Any]) -> None:
    """Unloading the stages would take Triton five seconds."""

    def end() -> float:
        with closing(Served(exported)) as served:
            under_way = calls(served.url)
            under_way.start(1)
            assert [type(outcome) for outcome in under_way.wait()] == [DubResult]
            served.process.send_signal(signal.SIGTERM)
            signalled = time.monotonic()
            assert served.ends(30) == 0, "".join(served.said)
            assert served.left() == []
        return signalled

    promptly(end, seconds=4.5)


def test_a_port_is_had_again_the_moment_its_launcher_was_killed(exported: Path) -> None:
    with closing(Served(exported)) as served:
        ports = [int(url.rpartition(":")[2].split("/")[0]) for url in (served.url, served.metrics_url)]
        served.process.kill()
        served.ends(5)
        with closing(Served(exported, *ports)) as second:
            assert second.url == served.url
            second.process.send_signal(signal.SIGTERM)
            assert second.ends(30) == 0


def test_a_triton_that_ends_is_started_anew_and_loses_no_request(
    served: Served, calls: Callable[[str], Any], media: tuple[str, str]
) -> None:
    with Client(served.url, timeout=100) as client:
        right = client.dub(*media, tier="wav2lip").content
    under_way = calls(served.url)
    under_way.start(2, retries=8)
    until(served.in_flight, "they are not begun")
    os.kill(served.triton, signal.SIGSEGV)
    with Client(served.url, timeout=100) as client:  # which asks first whether anybody is there
        assert client.dub(*media, tier="wav2lip").content == right
    assert [type(outcome) for outcome in under_way.wait()] == [DubResult, DubResult]
    served.wait_for("Triton is back after")
    assert session(served.triton) == []
    (triton,) = [int(pid) for pid in children(served.process.pid)]
    served.process.send_signal(signal.SIGTERM)
    assert served.ends(30) == 0, "".join(served.said)
    assert session(triton) == served.left() == []


def test_a_triton_that_does_not_come_back_is_reported(served: Served) -> None:
    os.kill(served.triton, signal.SIGKILL)
    served.wait_for("Triton has ended: it is started anew")
    until(lambda: children(served.process.pid), "it is not started")
    os.kill(int(children(served.process.pid)[0]), signal.SIGKILL)
    assert served.ends(15) == 1
    assert "Triton ended by itself (-9)" in "".join(served.said)
    assert served.left() == []


def test_a_killed_launcher_leaves_no_server(served: Served, exported: Path) -> None:
    served.process.kill()
    served.ends(5)
    until(lambda: not session(served.triton), "a process is left")
    # What it could not remove any more, the next start does.
    second = Served(exported)
    try:
        assert served.left() == []
    finally:
        second.process.send_signal(signal.SIGTERM)
        second.ends(30)
        second.close()
