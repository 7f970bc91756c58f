"""What a process of the Python backend loads at its start: a server starts two dozen of them."""

from __future__ import annotations

import subprocess
import sys

_LEAF = """
import sys, types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
from lipserve_server.inside.backend import LeafModel
print(*sorted({"av", "cv2", "pydantic", "lipserve.options", "lipserve.tiers"} & set(sys.modules)))
"""


def test_a_leafs_process_loads_nothing_that_reads_requests_or_videos() -> None:
    done = subprocess.run([sys.executable, "-c", _LEAF], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
