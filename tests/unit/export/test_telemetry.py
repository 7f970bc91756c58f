from __future__ import annotations

import os
import subprocess
import sys

LINES = "import lipserve_export.runtime; import onnxruntime; onnxruntime.SessionOptions()"


def told(line: str) -> str:
    """Return what a process tells that has no place for ONNX Runtime's identifier of this device."""
    environment = {
        name: text for name, text in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    environment |= {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    done = subprocess.run(
        [sys.executable, "-c", line], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_onnx_runtime_reports_nothing() -> None:
    assert "telemetry" in told(
        LINES.removeprefix("import lipserve_export.runtime; ")
    )  # what it does by itself
    assert "telemetry" not in told(LINES)
