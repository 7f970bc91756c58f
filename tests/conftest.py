"""Fixtures that every kind of test may use."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
    leaves = ("face_detector", "face_landmarks", "wav2lip_generator")
    target, source = ROOT / "build/test/model_repository", ROOT / "build/model_repository"
    names = [f"{leaf}/1/{name}" for leaf in leaves for name in ("model.onnx", "manifest.json")]
    if all((source / name).is_file() for name in names):
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
    elif not all((target / name).is_file() for name in names):
        command = [
            Path(sys.executable).parent / "lipserve-export",
            "all",
            "-o",
            target,
        ]
        subprocess.run(command, check=True, timeout=280)
    return target
