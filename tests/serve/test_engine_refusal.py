"""A Triton of the profile tensorrt on a machine that its plans do not fit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from lipserve.engine_store import compute_capabilities
from lipserve_server.inside import shm
from lipserve_server.launcher import triton
from lipserve_server.launcher.addresses import HOST, free_ports
from lipserve_server.repository.engines import served_profile
from lipserve_server.repository.models import assemble

pytestmark = pytest.mark.serve


def test_a_stages_process_knows_the_profile_by_its_parent(server: Any) -> None:
    stubs = [child for child in psutil.Process(server.pid).children() if "stub" in child.name()]
    assert len(stubs) >= 3
    assert {served_profile(stub.ppid()) for stub in stubs} == {"embedded"}


@pytest.mark.skipif(bool(compute_capabilities()), reason="there is a GPU")
def test_triton_ends_and_its_log_says_why(exported: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    for leaf in ("face_detector", "face_landmarks", "wav2lip_generator"):
        (repository / leaf).mkdir(parents=True)
        (repository / leaf / "1").symlink_to(exported / leaf / "1")
    assemble(repository)
    installation = triton.find()
    prefix, ports = shm.new_prefix(), free_ports(HOST, 0, 0)
    settings = triton.Settings(
        repository=repository,
        models=("wav2lip_generate",),
        backends=installation.link_backend(tmp_path),
        socket=tmp_path / "grpc",
        metrics_port=ports[1],
        admin_key="key",
        shm_prefix=prefix,
    )
    line = [word for word in triton.command(installation.binary, settings) if "config-name" not in word]
    try:
        ended = subprocess.run(
            line, env=triton.environment(os.environ), capture_output=True, text=True, timeout=60
        )
    finally:
        shm.sweep(prefix)
    assert ended.returncode != 0
    assert "No NVIDIA GPU is visible here; the profile tensorrt needs one." in ended.stderr
