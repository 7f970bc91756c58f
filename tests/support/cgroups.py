"""A memory cgroup of this machine, version 1 or 2, as a container has one: its limit, peak and kills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import until

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryCgroup:
    """A cgroup that processes are started in.

    Attributes:
        folder: its own.
        unified: whether it is of version 2.
    """

    folder: Path
    unified: bool

    @property
    def before(self) -> list[str]:
        """What starts a command line in it."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    @property
    def peak(self) -> int:
        """The most bytes that its processes, their shared memory and their pages of files had at a time."""
        return int(self._read("memory.peak" if self.unified else "memory.max_usage_in_bytes"))

    @property
    def kills(self) -> int:
        """How many of its processes the kernel has killed for their memory."""
        text = self._read("memory.events" if self.unified else "memory.oom_control")
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text()


@contextmanager
def memory_cgroup(name: str, limit: int) -> Iterator[MemoryCgroup]:
    """Make a cgroup with a limit in bytes, and remove it once its processes have ended.

    The test is skipped where none can be made.
    """
    unified = not (_ROOT / "memory").is_dir()
    folder = (_ROOT if unified else _ROOT / "memory") / f"lipserve-{name}-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(limit))
        with suppress(OSError):  # nothing is moved out to a disk, as on a node of Kubernetes
            (folder / ("memory.swap.max" if unified else "memory.swappiness")).write_text("0")
        yield MemoryCgroup(folder, unified)
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(folder)):
            raise
        pytest.skip(f"no memory can be limited here: {error}")
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text(), "processes of the cgroup do not end")
        folder.rmdir()
