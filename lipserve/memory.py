"""Memory limits on untrusted files, for processes that are ours: a stage's, or the command's.

A demuxer can be made to take any amount before it gives its first packet. Linux holds a process to a size of
its data (RLIMIT_DATA): what asks for more is refused, and FFmpeg and numpy say so. A library has no right to
do that to the process that it is called in, so nothing happens before `own`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock

OPENING = 512 << 20  # bytes that opening a file may take: its first pictures may be decoded for that
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


class _Own:
    """The limit of this process, which several threads tighten at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._openings = 0
        self._before = (-1, -1)

    @contextmanager
    def opening(self) -> Iterator[None]:
        with self._lock:
            if not self._openings:
                self._before = _limit()
                _hold(OPENING)
            self._openings += 1
        try:
            yield
        finally:
            with self._lock:
                self._openings -= 1
                if not self._openings:
                    _set(self._before)


_own: _Own | None = None


def own(budget: int | None = None) -> None:
    """Say that this process is ours to hold: each opening of a file to OPENING, and all it does to a budget.

    Args:
        budget: bytes, beyond what the process has now; None: no limit but that of openings.
    """
    global _own
    if sys.platform == "linux":
        _own = _Own()
        if budget is not None:
            _hold(budget)


def return_blocks() -> None:
    """Have the C library give blocks of 64 KiB or more back to the system as soon as they are free.

    Without that it keeps what a busy moment took, for as long as the process lives. Other C libraries than
    glibc stay as they are.
    """
    import ctypes

    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 64 << 10)


def opening() -> AbstractContextManager[None]:
    """Return a context in which a file is opened."""
    return nullcontext() if _own is None else _own.opening()


def _hold(more: int) -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[5])
    soft, hard = _limit()
    wanted = pages * resource.getpagesize() + more
    _set((wanted if soft < 0 else min(soft, wanted), hard))


def _limit() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)


def _set(limits: tuple[int, int]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, limits)
