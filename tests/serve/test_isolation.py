"""What variables of the surroundings name is not what the stages import."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import psutil
import pytest

from lipserve_server.launcher.embedded import EmbeddedServer
from lipserve_server.launcher.processes import stubs


def test_stages_import_the_installed_numpy_whatever_pythonpath_names(
    exported_wav2lip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NVIDIA's images, whose PYTHONPATH is a folder with another NumPy, and ends with a colon."""
    poison, told = tmp_path / "dali", tmp_path / "imported"
    (poison / "numpy").mkdir(parents=True)
    (poison / "numpy/__init__.py").write_text("raise ImportError('another NumPy')\n")
    (poison / "sitecustomize.py").write_text(f"open({str(told)!r}, 'w').close()\n")
    monkeypatch.setenv("PYTHONPATH", f"{poison}:")
    monkeypatch.setenv("PYTHONSTARTUP", str(poison / "sitecustomize.py"))
    with EmbeddedServer(exported_wav2lip, 0, 0, log_file=tmp_path / "triton.log") as server:
        processes = stubs(server.pid)
        assert {"wav2lip_preprocess", "wav2lip_generator", "postprocess"} <= set(processes.values())
        for process in (server.pid, *processes):
            names = set(psutil.Process(process).environ())
            assert names & {"PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"} == set()
        installed = Path(np.__file__).parent
        for process in processes:
            maps = Path(f"/proc/{process}/maps").read_text()
            numpys = set(re.findall(r"(/\S*/numpy)/core/_multiarray_umath\S*\.so$", maps, re.MULTILINE))
            assert numpys == {os.path.realpath(installed)}
    assert not told.exists()
