"""Hidden files and folders that a run works in: locked while it lives, and swept by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

_PREFIX = ".lipserve-"
_NAME = re.compile(r"\.lipserve-[0-9a-f]{16}(\.mp4)?")


def hidden_file(folder: Path) -> tuple[Path, BinaryIO]:
    """Return a new file in `folder`, open for writing and reading, unbuffered; OSError where none can be."""
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}.mp4"
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _is_ours(number):
            return path, cast(BinaryIO, open(number, "w+b", buffering=0))
        os.close(number)


@contextmanager
def hidden_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder inside `folder` that is gone afterwards; OSError where none can be."""
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}"
        path.mkdir(0o700)
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if _is_ours(number):
            break
        os.close(number)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(number)


def sweep(folder: Path) -> None:
    """Remove what runs that died left in `folder`; what is locked is somebody's work."""
    with contextlib.suppress(OSError):  # a folder that may be written to but not be looked at
        found = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
        for name in found:
            with contextlib.suppress(OSError):
                _remove_if_left(folder / name)


def _is_ours(number: int) -> bool:
    """Lock what was made just now; False where a sweep came between and has taken it for a dead run's."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: nothing is swept there, either
        return True
    return os.fstat(number).st_nlink > 0


def _remove_if_left(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(number)
