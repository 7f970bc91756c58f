"""Regions of /dev/shm; tests/serve/test_client_shm.py uses them with a real server."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_client._transports.system_shm import DIRECTORY, PREFIX, SystemRegion, sweep


def _names() -> set[str]:
    return {name for name in os.listdir(DIRECTORY) if name.startswith(PREFIX)}


def test_a_region_holds_what_triton_expects() -> None:
    region = SystemRegion(1 << 16)
    region.write(b"film")
    assert region.read_bytes(8) == b"\x04\x00\x00\x00film"
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    region.write(array)
    assert region.read_bytes(48) == array.tobytes()
    assert region.name in _names()
    region.free()
    region.free()
    assert region.name not in _names()


def test_a_full_directory_is_a_refusal_and_no_crash() -> None:
    before = _names()
    room = os.statvfs(DIRECTORY)
    with pytest.raises(SetupError, match="no room"):
        SystemRegion(room.f_bavail * room.f_frsize + (1 << 30))
    assert _names() == before


def test_the_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    old = time.time() - 3600
    dead, young, alive, foreign = (
        tmp_path / name for name in (f"{PREFIX}dead", f"{PREFIX}young", f"{PREFIX}alive", "other_dead")
    )
    for path in (dead, young, alive, foreign):
        path.write_bytes(b"x")
        if path != young:
            os.utime(path, (old, old))
    with alive.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {young.name, alive.name, foreign.name}
