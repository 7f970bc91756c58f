"""What a run works in is gone after it: by itself, or by the next run where it was killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lipserve_client import _hidden
from lipserve_client._hidden import hidden_file, hidden_folder, sweep

_RUN = """
import sys, time
from pathlib import Path
from lipserve_client._hidden import hidden_file, hidden_folder

folder = Path(sys.argv[1])
path, file = hidden_file(folder)
file.write(b"half")
with hidden_folder(folder) as inside:
    (inside / "part.mp4").write_bytes(b"half")
    print("working", flush=True)
    time.sleep(60)
"""


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(".lipserve-"))


def test_files_of_a_living_run_are_kept_and_those_of_a_killed_one_removed(tmp_path: Path) -> None:
    line = [sys.executable, "-c", _RUN, str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "working\n"
        sweep(tmp_path)
        assert len(hidden(tmp_path)) == 2
        run.kill()
        run.wait()
    assert len(hidden(tmp_path)) == 2
    sweep(tmp_path)
    assert hidden(tmp_path) == []


def test_only_what_a_run_makes_is_swept(tmp_path: Path) -> None:
    kept = {".lipserve-notes.mp4", ".lipserve-0123456789abcdef.txt", "lipserve-0123456789abcdef.mp4"}
    for name in kept:
        (tmp_path / name).write_bytes(b"mine")
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (tmp_path / ".lipserve-0123456789abcdef.mp4").symlink_to(precious)
    os.mkfifo(tmp_path / ".lipserve-00000000ffffffff.mp4")
    sweep(tmp_path)
    assert kept | {"precious"} <= set(os.listdir(tmp_path))
    assert precious.read_bytes() == b"mine"
    sweep(tmp_path / "absent")


def test_a_folder_is_gone_after_its_block(tmp_path: Path) -> None:
    with hidden_folder(tmp_path) as folder:
        (folder / "x").write_bytes(b"x")
        sweep(tmp_path)
        assert (folder / "x").exists()
    assert hidden(tmp_path) == []


def test_a_sweep_between_making_and_locking_costs_a_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []
    flock = fcntl.flock

    def late(number: int, operation: int) -> None:
        rounds.append(number)
        if len(rounds) == 1:  # another run sweeps now: it locks, removes, and lets go
            monkeypatch.setattr(_hidden.fcntl, "flock", flock)
            sweep(tmp_path)
            monkeypatch.setattr(_hidden.fcntl, "flock", late)
        flock(number, operation)

    monkeypatch.setattr(_hidden.fcntl, "flock", late)
    path, file = hidden_file(tmp_path)
    with file:
        assert len(rounds) == 2
        assert hidden(tmp_path) == [path.name]


def test_no_file_is_removed_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(_hidden.fcntl, "flock", refuse)
    path, file = hidden_file(tmp_path)
    file.close()
    sweep(tmp_path)
    assert path.exists()
