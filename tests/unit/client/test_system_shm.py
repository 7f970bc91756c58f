"""Regions of /dev/shm; tests/serve/test_client_shm.py uses them with a real server."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lipserve import Client
from lipserve.errors import SetupError
from lipserve_client._transports import system_shm
from lipserve_client._transports.base import serialised_size
from lipserve_client._transports.regions import Lease, Region
from lipserve_client._transports.system_shm import DIRECTORY, PREFIX, SystemRegion, sweep
from tests.support.scripted_triton import StartTriton


def _names() -> set[str]:
    return {name for name in os.listdir(DIRECTORY) if name.startswith(PREFIX)}


def test_a_region_holds_what_triton_expects() -> None:
    region = SystemRegion(1 << 16)
    region.write(b"film")
    assert region.read_bytes(8) == b"\x04\x00\x00\x00film"
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    region.write(array)
    assert region.read_bytes(48) == array.tobytes()
    texts = np.array([b"ab", b"", b"film"], np.object_)
    assert serialised_size(texts) == 18
    region.write(texts)
    assert region.read_bytes(18) == b"\x02\x00\x00\x00ab\x00\x00\x00\x00\x04\x00\x00\x00film"
    assert region.name in _names()
    region.free()
    region.free()
    assert region.name not in _names()


def test_a_full_directory_is_a_refusal_before_any_of_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory may be as large as the memory: to try would take all of it away from other processes."""
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("pages were taken"))
    monkeypatch.setattr(system_shm, "DIRECTORY", tmp_path)  # in /dev/shm other tests' regions come and go
    room = os.statvfs(tmp_path)
    with pytest.raises(SetupError, match="no room"):
        SystemRegion(room.f_bavail * room.f_frsize + (1 << 30))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_fills_up_meanwhile_is_a_refusal_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(system_shm, "DIRECTORY", tmp_path)
    with pytest.raises(SetupError, match="no room"):
        SystemRegion(1 << 16)
    assert list(tmp_path.iterdir()) == []


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


def test_a_server_that_closes_registration_leaves_no_file(
    start_triton: StartTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted server knows no such call, so that it refuses to unregister, too."""
    monkeypatch.setattr(system_shm, "DIRECTORY", tmp_path)
    crops = np.zeros((2, 128, 128, 3), np.uint8)
    with Client(start_triton().url, shm="system") as client:
        with pytest.raises(SetupError, match="same host"):
            client.generate(crops, np.zeros(3200, np.float32))
        assert os.listdir(tmp_path) == []


def test_a_call_given_up_in_the_middle_of_a_write_frees_its_regions_after_it() -> None:
    """Freed under the writing thread, a map cannot be closed, and its memory would stay."""
    region = SystemRegion(1 << 16)
    given_back: list[tuple[Region, bool]] = []
    writing, go_on, written = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        writing.set()
        go_on.wait(10)
        region.write(np.ones(1 << 14, np.float32))
        written.set()

    class Giver:
        lingering: ClassVar[list[Region]] = []

        async def give_back(self, region: Region) -> None:
            given_back.append((region, written.is_set()))
            region.free()

        def allocate(self, size: int) -> Region:
            return region

        async def register(self, region: Region) -> None:
            pass

    async def give_up() -> None:
        lease = Lease(Giver())  # type: ignore[arg-type]
        assert await lease.take(1 << 16) is region
        call = asyncio.create_task(lease.work(write))
        await asyncio.to_thread(writing.wait, 10)
        call.cancel()
        end = asyncio.create_task(lease.end())
        await asyncio.sleep(0.05)
        assert not given_back
        go_on.set()
        await end
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(give_up())
    assert given_back == [(region, True)]
    assert region.name not in _names()
