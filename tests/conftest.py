"""Fixtures that every kind of test may use."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipserve.contracts import Tier, of_tier

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# A shell without job control starts what it puts in the background deaf to Ctrl-C, and that is inherited: the
# programs that tests start and interrupt must not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function that gives a file of the reference media, or skips the test naming it."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"reference media absent: shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def exported() -> Path:
    """Return a repository of exported graphs, the tests' own: nothing in it is anybody else's.

    It is taken from build/model_repository where that is complete, and exported once where it is not.
    """
    return _repository("model_repository", "wav2lip", [["all"]])


@pytest.fixture(scope="session")
def exported_latentsync() -> Path:
    """Return a repository of the quality tier at reduced width with random weights, as `exported`."""
    return _repository(
        "latentsync_repository", "latentsync", [["faces"], ["latentsync", "--random-seed", "1247"]]
    )


def _repository(folder: str, tier: Tier, commands: list[list[str]]) -> Path:
    """Return build/test/<folder>: what `make` exported, or the tests' own export, kept for its exporter."""
    target, source = ROOT / "build/test" / folder, ROOT / "build" / folder
    stamp, sources = target / ".exported", _exporter()
    made_of = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of one test run share it
        if stamp.is_file() and stamp.read_text() == made_of:
            return target
        if _is_newer(source / ".exported", sources):
            for leaf in [model.name for model in of_tier(tier) if model.kind == "leaf"]:
                shutil.copytree(source / leaf / "1", target / leaf / "1", dirs_exist_ok=True)
        else:
            for command in commands:
                program = Path(sys.executable).parent / "lipserve-export"
                subprocess.run([program, *command, "-o", target], check=True, timeout=280)
        stamp.write_text(made_of)
    return target


def _exporter() -> list[Path]:
    """Return the files that decide what is exported, in a fixed order: the Makefile's EXPORTER."""
    patterns = ("export/lipserve_export/**/*.py", "lipserve/contracts/*.py", "weights/*.pth")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def _is_newer(stamp: Path, sources: list[Path]) -> bool:
    return stamp.is_file() and all(path.stat().st_mtime <= stamp.stat().st_mtime for path in sources)
