from __future__ import annotations

import mmap
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from lipserve.contracts import MODELS, Form, of_tier
from lipserve_server.launcher.canaries import CANARY_BYTES, _canary_bytes, watched
from lipserve_server.launcher.processes import alive, nameless_bytes, stubs
from tests.support.waiting import until


def test_a_process_that_waits_to_be_buried_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert alive(process.pid)
    process.kill()
    until(lambda: not alive(process.pid))
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


def test_only_the_cached_step_at_full_width_is_too_large_for_canaries() -> None:
    for form, large in ((Form(256, 16), set()), (Form(256, 320), {"denoise_step_shallow"})):
        models = [model for model in of_tier("latentsync", form) if model.kind != "ensemble"]
        assert {model.name for model in models if _canary_bytes(model) > CANARY_BYTES} == large


def test_of_engines_only_the_face_detector_is_asked_because_it_computes() -> None:
    models = MODELS.values()
    stages = {model.name for model in models if model.kind == "stage"}
    assert "lipwarp_prepare" in stages
    for profile in ("tensorrt", "onnx"):
        assert {model.name for model in watched(models, profile)} == stages | {"face_detector"}
    for tier in ("lipwarp", "wav2lip"):
        asked = {model.name for model in watched(of_tier(tier), "embedded")}
        assert asked == {model.name for model in of_tier(tier) if model.kind != "ensemble"}


def test_files_that_are_gone_and_still_mapped_are_counted(tmp_path: Path) -> None:
    named, gone, other = (tmp_path / name for name in ("mine_a", "mine_b", "other"))
    with ExitStack() as mapped:
        for path in (named, gone, other):
            path.write_bytes(bytes(1 << 16))
            with path.open("r+b") as file:
                mapped.enter_context(mmap.mmap(file.fileno(), 0))
        assert nameless_bytes(os.getpid(), tmp_path / "mine_") == 0
        gone.unlink()
        other.unlink()
        assert nameless_bytes(os.getpid(), tmp_path / "mine_") == 1 << 16
    assert nameless_bytes(os.getpid(), tmp_path / "mine_") == 0
