"""Shared memory and temporary folders of embedded servers, and the removal of those of dead processes."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from lipserve.errors import StorageError

SHM = Path("/dev/shm")
_NAME = re.compile(r"lipserve_server_(?P<pid>\d+)_[0-9a-f]{8}_")
"""The name of one start of a server: the process id of its launcher, then random characters."""
_FAULT = re.compile(r"shared memory pool size|lipserve_server_\d|No space left on device", re.IGNORECASE)
_own: set[str] = set()  # prefixes of this process


def fault(text: str) -> StorageError | None:
    """Return the error that a message of Triton's about its shared memory stands for: it names no region.

    Who knows a region's name could, on a shared host, open it.
    """
    if not _FAULT.search(text):
        return None
    return StorageError("The server's shared memory is full.", "Try again in a few seconds.")


def new_prefix() -> str:
    """Return a prefix of names that belongs to this process and to one start of a server."""
    prefix = f"lipserve_server_{os.getpid()}_{secrets.token_hex(4)}_"
    _own.add(prefix)
    return prefix


def close_to_others(prefix: str, shm: Path = SHM) -> None:
    """Make the regions of one start readable by this user only: Triton makes them readable by all."""
    for region in shm.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            region.chmod(0o600)


def size(region: Path) -> int:
    """Return how many bytes of memory a region holds; 0: it is gone."""
    try:
        return region.stat().st_blocks * 512
    except OSError:
        return 0


def is_scarce(shm: Path = SHM) -> bool:
    """Return whether less than a quarter of all shared memory is free."""
    found = os.statvfs(shm)
    return found.f_bavail * 4 < found.f_blocks


def forget(region: Path) -> None:
    """Remove the name of a dead process's region: its memory is free when Triton, too, has let go of it.

    It is not emptied: Triton 24.10 may still look into it, and ends where it finds zeros.
    """
    region.unlink(missing_ok=True)


def sweep(prefix: str, shm: Path = SHM) -> int:
    """Remove the regions of one start whose processes are gone; return their number."""
    regions = list(shm.glob(f"{prefix}*"))
    for region in regions:
        region.unlink(missing_ok=True)
    return len(regions)


def sweep_stale(shm: Path = SHM, temporary: Path | None = None) -> None:
    """Remove the regions and folders of launchers that were killed and have no live stub any more."""
    folder = temporary or Path(tempfile.gettempdir())
    for path in (*shm.glob("lipserve_server_*"), *folder.glob("lipserve_server_*")):
        match = _NAME.match(path.name)
        if match is None or _launched(match) or _mapped(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _launched(name: re.Match[str]) -> bool:
    """Return whether the launcher of that name lives."""
    if int(name["pid"]) == os.getpid():
        return name[0] in _own  # in a container the launcher before this one was process 1 too
    return Path(f"/proc/{name['pid']}").exists()


def _mapped(path: Path) -> bool:
    name = os.fsencode(path)
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if name in maps.read_bytes():
                return True
    return False
