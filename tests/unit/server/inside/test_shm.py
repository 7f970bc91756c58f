from __future__ import annotations

import mmap
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lipserve.errors import StorageError
from lipserve_server.inside import shm


@pytest.fixture
def dead() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_sweep_removes_one_starts_regions_only(tmp_path: Path) -> None:
    mine, other = shm.new_prefix(), shm.new_prefix()
    for name in (f"{mine}a", f"{mine}b", f"{other}a", "lipserve_client_x"):
        (tmp_path / name).touch()
    assert shm.sweep(mine, tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((f"{other}a", "lipserve_client_x"))


def test_two_starts_never_share_a_prefix() -> None:
    assert len({shm.new_prefix() for _ in range(50)}) == 50


def test_regions_of_a_killed_launcher_are_removed(tmp_path: Path, dead: int) -> None:
    left, running = f"lipserve_server_{dead}_0123abcd_region", f"{shm.new_prefix()}region"
    for name in (left, running, "lipserve_server_notes", "someone_elses"):
        (tmp_path / name).touch()
    folder = tmp_path / f"lipserve_server_{dead}_0123abcd_tmp"
    (folder / "backends").mkdir(parents=True)
    shm.sweep_stale(tmp_path, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        (running, "lipserve_server_notes", "someone_elses")
    )


def test_the_launcher_before_this_one_may_have_had_its_process_id(tmp_path: Path) -> None:
    """In a container all of them are process 1."""
    (tmp_path / f"lipserve_server_{os.getpid()}_0123abcd_region").touch()
    running = f"{shm.new_prefix()}region"
    (tmp_path / running).touch()
    shm.sweep_stale(tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [running]


def test_a_region_that_a_process_still_maps_stays(tmp_path: Path, dead: int) -> None:
    region = tmp_path / f"lipserve_server_{dead}_0123abcd_region"
    region.write_bytes(bytes(4096))
    code = (
        "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 4096);"
        "print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, os.fspath(region)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    shm.sweep_stale(tmp_path, tmp_path)
    assert region.exists()
    process.communicate()
    shm.sweep_stale(tmp_path, tmp_path)
    assert not region.exists()


def test_regions_are_closed_to_others(tmp_path: Path) -> None:
    mine, other = shm.new_prefix(), shm.new_prefix()
    for name in (mine, other):
        (tmp_path / f"{name}a").touch(mode=0o644)
    shm.close_to_others(mine, tmp_path)
    assert stat.S_IMODE((tmp_path / f"{mine}a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / f"{other}a").stat().st_mode) == 0o644


def test_a_dead_processs_region_is_emptied_for_nobody_who_maps_it(tmp_path: Path) -> None:
    region = tmp_path / "region"
    region.write_bytes(b"x" * (2 << 20))
    with region.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert shm.size(region) == 2 << 20
        shm.forget(region)
        shm.forget(region)
        assert not region.exists()
        assert shm.size(region) == 0
        assert mapped[:1] == mapped[-1:] == b"x"


@pytest.mark.parametrize(
    "text",
    [
        "in ensemble 'x', Failed to increase the shared memory pool size for key 'lipserve_server_9_aa_b'",
        "Unable to open lipserve_server_16957_f462074d_7bdc",
        "[Errno 28] No space left on device",
    ],
)
def test_a_message_of_triton_on_its_memory_becomes_an_error_without_a_region_name(text: str) -> None:
    error = shm.fault(text)
    assert isinstance(error, StorageError)
    assert error.retryable
    assert "lipserve_server_" not in str(error)
    assert shm.fault("shape mismatch") is None
