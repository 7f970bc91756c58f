"""Plans into a model store that several builders may write at once: whole, or not there.

Two Jobs on two nodes share the volume, not a lock: files of network storage are not locked reliably. What
both can rely on is that a folder is renamed at once, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from pathlib import Path

from lipserve.engine_store import EngineKey, EngineRecord, fault

_ABANDONED_SECONDS = 3600.0  # a folder is unfinished while two files are written


def place(plan: Path, content: bytes, record: EngineRecord, key: EngineKey) -> bool:
    """Put a plan and its record into the folder of its leaf, both at once.

    What is damaged there is replaced. Returns False where another builder was first: its plan stays, for a
    server may have loaded it.

    Raises:
        OSError: the store is full, or read-only.
    """
    folder = plan.parent
    unfinished = _hidden(folder)
    try:
        unfinished.mkdir(parents=True)
        _write(unfinished / plan.name, content)
        _write(unfinished / f"{plan.stem}.json", (record.model_dump_json(indent=2) + "\n").encode())
        while not _renamed(unfinished, folder):
            if fault(plan, key, record.onnx_sha256) is None:
                return False
            _discard(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def sweep(folder: Path) -> None:
    """Remove what killed builders left unfinished below a key's folder an hour ago or earlier."""
    for path in folder.glob(".*.*"):
        with contextlib.suppress(FileNotFoundError):  # its builder has just finished
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _hidden(folder: Path) -> Path:
    """Return a name beside a leaf's folder that nobody else has (two pods share process numbers)."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _renamed(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _discard(folder: Path) -> None:
    aside = _hidden(folder)
    with contextlib.suppress(FileNotFoundError):  # another builder has just done it
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
