"""ONNX Runtime's official builds report to their maker: not from here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LINES = "import onnxruntime; onnxruntime.SessionOptions()"


def told(lines: str) -> str:
    """Return what a process tells that has no place for ONNX Runtime's identifier of this device."""
    environment = {
        name: text for name, text in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    environment |= {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    done = subprocess.run(
        [sys.executable, "-c", lines], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_the_library_sends_telemetry_by_default() -> None:
    assert "telemetry" in told(LINES)


@pytest.mark.parametrize("package", ["lipserve_export", "lipserve_training", "bench"])
def test_a_package_of_ours_sends_no_telemetry(package: str) -> None:
    assert "telemetry" not in told(f"import {package}; {LINES}")
