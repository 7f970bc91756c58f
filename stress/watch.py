"""The memory of a server's processes: how much it is, and how much it was at most."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import psutil


class Memory:
    """Of a process, and of all that it started."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def held(self) -> int:
        """Return the bytes that all of them hold now, what several have mapped counted once."""
        return sum(_share(process.pid) for process in self.processes())

    def forget(self) -> dict[int, int]:
        """Begin to look for new peaks, and return what each process holds."""
        held = {}
        for process in self.processes():
            with suppress(OSError, psutil.NoSuchProcess):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
                held[process.pid] = process.memory_info().rss
        return held

    def grown(self, held: dict[int, int]) -> int:
        """Return by how many bytes the process that grew most did so since `forget`, at its peak."""
        most = 0
        for pid, before in held.items():
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
                most = max(most, int(line.split()[1]) * 1024 - before)
        return most


def _share(pid: int) -> int:
    """Return the bytes that a process has mapped, of a page of several processes its share; 0: it is gone."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
