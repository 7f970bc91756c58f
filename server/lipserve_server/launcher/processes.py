"""The processes of a Triton, from /proc: the model that each serves, and its memory."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path


def stubs(triton: int) -> dict[int, str]:
    """Return the model of every process that serves one: the children of the process `triton`."""
    found = {}
    for task in Path(f"/proc/{triton}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"triton_python_backend_stub"):
                found[int(child)] = Path(words[1].decode()).parents[1].name
    return found


def alive(process: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def own_bytes(process: int) -> int:
    """Return the bytes of memory that a process does not share; 0: the process is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def give_back() -> None:
    """Return freed memory, which the C library keeps for later, to the system."""
    ctypes.CDLL(None).malloc_trim(0)


def nameless_bytes(process: int, prefix: Path) -> int:
    """Return how many bytes a process has mapped of files that are gone, whose paths began with `prefix`."""
    try:
        maps = Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return 0
    found = re.findall(rf"^(\w+)-(\w+) .*{re.escape(str(prefix))}\S* \(deleted\)$", maps, re.MULTILINE)
    return sum(int(last, 16) - int(first, 16) for first, last in found)


def regions(process: int, prefix: Path) -> set[Path]:
    """Return the files that a process has mapped whose path begins with `prefix`."""
    try:
        maps = Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return set()
    return {Path(name) for name in re.findall(rf"({re.escape(str(prefix))}\S*)$", maps, re.MULTILINE)}
