from __future__ import annotations

import os
import subprocess
import sys
import time

from lipserve_server.supervisor import alive, stubs


def test_a_process_that_waits_to_be_buried_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert alive(process.pid)
    process.kill()
    deadline = time.monotonic() + 5
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert os.path.exists(f"/proc/{process.pid}")  # still listed: a zombie
    assert not alive(process.pid)
    process.wait()
    assert not alive(process.pid)


def test_only_stubs_count_as_models() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert process.pid not in stubs(os.getpid())
    finally:
        process.kill()
        process.wait()
