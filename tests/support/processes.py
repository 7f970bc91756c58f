"""Programs that tests start in processes of their own: what they say, compute, and leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.support.waiting import until

Word = str | Path


class Program:
    """A program in a process of its own, and what it says on stdout and stderr.

    Args:
        environment: added to this process'.
    """

    def __init__(self, command: Sequence[Word], **environment: str) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)

    @property
    def said(self) -> str:
        return "".join(self.log)

    def find(self, pattern: str) -> re.Match[str]:
        """Return where it says `pattern`, as soon as it has; the test fails where it ends without that."""
        found: list[re.Match[str]] = []

        def looks() -> bool:
            goes_on = self._reader.is_alive()
            found.extend(re.finditer(pattern, self.said))
            assert found or goes_on, f"it has ended, and not said {pattern}: {self.said}"
            return bool(found)

        until(looks, lambda: f"it says {pattern}: {self.said}", 250)
        return found[0]

    def tritons(self) -> list[int]:
        """Return the process ids of the Tritons that it has started and that run."""
        return [child.pid for child in psutil.Process(self.process.pid).children() if is_triton(child)]

    @property
    def triton(self) -> int:
        """The process id of its one Triton."""
        (found,) = self.tritons()
        return found

    def ends(self) -> int:
        """Wait for its end, and return its exit code."""
        until(lambda: self.process.poll() is not None, lambda: f"it ends: {self.said}")
        self._reader.join(10)
        return int(self.process.returncode)

    def close(self) -> None:
        """End it where it still runs: by SIGTERM, and at once where it does not end in a minute."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_triton(process: psutil.Process) -> bool:
    """Return whether a process is a Triton; what the launcher starts is one as soon as it has become it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.name() == "tritonserver")
    return False


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


def cpu_seconds(process: int) -> float:
    """Return what a process and those that it started, and that live, have computed: seconds of one core.

    One that has ended meanwhile counts for nothing, as a Triton does that was started anew.
    """
    seconds = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(process)
        for each in (found, *found.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                seconds += times.user + times.system
    return seconds


@contextlib.contextmanager
def computing(less_than: float, server: int | None = None) -> Iterator[None]:
    """Assert that what is done in this context costs less: what others do to the machine does not count.

    Args:
        less_than: seconds of one core, of this process and of the server's processes together.
        server: the process id of a Triton.
    """

    def computed() -> float:
        return time.process_time() + (cpu_seconds(server) if server else 0.0)

    before = computed()
    yield
    assert computed() - before < less_than
