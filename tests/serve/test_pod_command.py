"""`lipserve pod` as Kubernetes runs it: signals, exit codes, the container's last words."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import portrait
from lipserve import DubResult, audio
from lipserve.engine_store import compute_capabilities
from tests.support.servers import PodProgram
from tests.support.waiting import until

from .conftest import Calls, paused

pytestmark = [pytest.mark.serve, pytest.mark.slow]

# As a pod is: root and store are read-only, and /tmp is not: Triton's Python backend writes there.
READ_ONLY = (
    'mount --bind /tmp /tmp && mount --bind "$1" "$1" && mount --bind "$2" "$2" && '
    'mount -o remount,bind,ro "$1" && mount -o remount,bind,ro / && shift 2 && exec "$@"'
)


def may_mount() -> bool:
    tried = subprocess.run(["unshare", "--mount", "mount", "--bind", "/tmp", "/tmp"], capture_output=True)
    return tried.returncode == 0


class Command(PodProgram):
    """`lipserve pod` with a file for its last words, on a read-only root where a test asks for one."""

    def __init__(self, store: Path, folder: Path, *arguments: str, read_only: bool = False) -> None:
        self.last_words = folder / "termination-log"
        self.last_words.touch()
        mounts = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", store, folder] if read_only else []
        own = ("--termination-log", self.last_words)
        super().__init__(store, folder / "work", *own, *arguments, before=mounts)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    made: list[Command] = []

    def start(store: Path, *arguments: str, **options: Any) -> Command:
        made.append(Command(store, tmp_path, *arguments, **options))
        return made[-1]

    yield start
    for command in made:
        command.close()


def test_sigterm_under_load_answers_everything(
    exported_wav2lip: Path, run: Callable[..., Command], speech: Path, tmp_path: Path
) -> None:
    short = tmp_path / "speech.wav"
    short.write_bytes(audio.wav(audio.load(speech)[:32_000]))
    pod = run(exported_wav2lip)
    health = pod.health
    under_way = Calls(pod.url, portrait.clip(1.0, (512, 512)), short, "wav2lip")
    page = pod.page

    def begun() -> float:
        return page.metric("lipserve_segments_started_total", stage="wav2lip_preprocess")

    def accepted() -> float:
        """Count what was begun, then what waits a look later: what is begun between the two is in neither."""
        already = begun()
        time.sleep(1.5)
        return already + health.metric("lipserve_pending_segments")

    before = begun()
    under_way.start(10)
    until(lambda: accepted() >= before + 10, "some are still on their way")
    with paused(pod.triton):
        pod.process.send_signal(signal.SIGTERM)
        until(lambda: health.metric("lipserve_draining") == 1, "it does not tell that it drains")
        assert health.get("/readyz") == (503, "The pod is draining.\n")
        assert health.get("/livez") == (200, "ok\n")
    assert [type(outcome) for outcome in under_way.wait()] == [DubResult] * 10
    assert pod.ends() == 0, pod.said
    assert pod.last_words.read_text() == ""


@pytest.mark.skipif(not may_mount(), reason="mount namespaces are not permitted here (unshare --mount)")
def test_on_a_read_only_root_it_serves_and_tells_of_a_triton_that_ends(
    exported_wav2lip: Path, run: Callable[..., Command]
) -> None:
    pod = run(exported_wav2lip, read_only=True)
    assert pod.url
    assert pod.health.get("/readyz") == (200, "ok\n")
    mounts = Path(f"/proc/{pod.process.pid}/mounts").read_text().splitlines()
    root = [line.split() for line in mounts if line.split()[1] in ("/", str(exported_wav2lip))]
    assert all("ro" in fields[3].split(",") for fields in root[-2:])
    os.kill(pod.triton, signal.SIGKILL)
    assert pod.ends() == 1
    assert "Triton ended by itself (-9)" in pod.said


def test_a_store_without_models_is_refused_at_once(tmp_path: Path, run: Callable[..., Command]) -> None:
    pod = run(tmp_path / "nothing")
    assert pod.ends() == 5
    assert f"There is no model repository at {tmp_path / 'nothing'}" in pod.last_words.read_text()
    assert "lipserve export" in pod.last_words.read_text()


@pytest.mark.skipif(bool(compute_capabilities()), reason="there is a GPU")
def test_engines_that_do_not_fit_are_told_of_before_the_end(
    exported: Path, run: Callable[..., Command]
) -> None:
    pod = run(exported, "--profile=tensorrt")
    health = pod.health
    pod.find("No NVIDIA GPU")
    assert health.metric("lipserve_setup_error", reason="engine") == 1
    assert health.metric("lipserve_draining") == 0
    status, reason = health.get("/readyz")
    assert status == 503
    assert "No NVIDIA GPU" in reason
    time.sleep(0.5)
    assert pod.process.poll() is None, "nothing can have read that"
    pod.process.send_signal(signal.SIGTERM)
    assert pod.ends() == 5
    assert "No NVIDIA GPU" in pod.last_words.read_text()


def test_a_profile_that_the_wheel_cannot_run_is_refused(exported: Path, run: Callable[..., Command]) -> None:
    pod = run(exported, "--profile=onnx")
    assert pod.ends() == 5
    assert "has no backend onnxruntime" in pod.last_words.read_text()


def test_a_key_without_its_certificate_is_refused(exported: Path, run: Callable[..., Command]) -> None:
    pod = run(exported, "--tls-key", "key.pem")
    assert pod.ends() == 5
    assert "TLS needs a certificate and its key." in pod.last_words.read_text()
