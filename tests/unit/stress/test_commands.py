"""How fuzz and soak begin and end, and what they call the memory of a server."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stress.watch import Memory

MIB = 1 << 20
HOLDER = (
    "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); m[:] = bytes(len(m));"
    "print(flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize("command", ["fuzz", "soak"])
def test_a_repository_that_is_missing_is_told_in_one_sentence(command: str, tmp_path: Path) -> None:
    asked = ["--repository", tmp_path / "nothing", "--folder", tmp_path]
    run = subprocess.run(
        [sys.executable, "-m", f"stress.{command}", *asked], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 5
    assert "There is no model repository at" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[int]:
    """A process that has mapped 32 MiB of a file, as this one has."""
    path = Path("/dev/shm") / f"lipserve_test_{os.getpid()}"
    path.write_bytes(bytes(32 * MIB))
    try:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:] = bytes(len(mapped))
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
            process.communicate()
    finally:
        path.unlink()


def test_memory_that_two_processes_share_is_counted_once(holder: int) -> None:
    resident = psutil.Process(holder).memory_info().rss
    assert resident > 32 * MIB
    assert resident - 28 * MIB < Memory(holder).held() + 4 * MIB < resident
