"""What a plan is held to, as the driver's own tool tells it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lipserve.engine_store import compute_capabilities

pytestmark = pytest.mark.gpu


def test_compute_capabilities_are_those_of_the_drivers_own_tool() -> None:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("needs an NVIDIA GPU")
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert compute_capabilities() == [f"sm{value.replace('.', '')}" for value in told]
