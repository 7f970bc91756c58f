"""Shared memory and temporary directories of embedded servers, found again by name when one was killed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

SHM = Path("/dev/shm")
_NAME = re.compile(r"lipserve_server_(?P<pid>\d+)_[0-9a-f]{8}_")
"""What belongs to one start of a server: the process id of its launcher, then something random."""
_own: set[str] = set()  # prefixes of this process


def new_prefix() -> str:
    """Return a prefix of names that belongs to this process and to one start of a server."""
    prefix = f"lipserve_server_{os.getpid()}_{secrets.token_hex(4)}_"
    _own.add(prefix)
    return prefix


def sweep(prefix: str, shm: Path = SHM) -> int:
    """Remove the regions of one start, whose processes are gone, and return how many there were."""
    regions = list(shm.glob(f"{prefix}*"))
    for region in regions:
        region.unlink(missing_ok=True)
    return len(regions)


def sweep_stale(shm: Path = SHM, temporary: Path | None = None) -> None:
    """Remove what launchers left behind that were killed: whose process, and all of whose stubs, are gone."""
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
