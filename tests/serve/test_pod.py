"""A serving pod on a real Triton, laid out as in NVIDIA's image, behind mutual TLS."""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import TLS, Client, ConnectError, Options, audio
from lipserve_server.launcher import triton
from lipserve_server.launcher.options import Options as Serving
from lipserve_server.launcher.processes import stubs
from lipserve_server.launcher.tls import TlsFiles
from lipserve_server.pod import deletion_cost
from lipserve_server.pod.deletion_cost import DeletionCost
from lipserve_server.pod.health import HealthPort
from lipserve_server.pod.server import Pod
from tests.support import certificates
from tests.support.pages import Page
from tests.support.servers import port_of
from tests.support.waiting import until

from .conftest import paused

pytestmark = [pytest.mark.serve, pytest.mark.slow]

LONGEST = 2.0  # seconds that a segment may take in this pod
SLOW = Options(preset="veryslow", crf=10)


@dataclass(frozen=True)
class Running:
    pod: Pod
    health: Page
    work: Path
    certificates: Path
    api: Any
    untouched: Callable[[], bool]

    def tls(self, who: str = "client") -> TLS:
        folder = self.certificates
        return TLS(folder / "ca.pem", folder / f"{who}.pem", folder / f"{who}.key")

    def client(self, **options: Any) -> Client:
        return Client(self.pod.url, tls=self.tls(), **options)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in (folder, *folder.rglob("*"))
    }


def ngc(folder: Path) -> Path:
    """Lay the wheel's files out as NVIDIA's image has them."""
    found = triton.find()
    found.link_backend(folder)
    (folder / "bin").mkdir()
    (folder / "bin" / "tritonserver").symlink_to(found.binary)
    return folder


@pytest.fixture(scope="module")
def api(
    api_server: Callable[[Path], AbstractContextManager[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    with api_server(tmp_path_factory.mktemp("serviceaccount")) as made:
        yield made


@pytest.fixture(scope="module")
def running(exported: Path, api: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    work, folder = tmp_path_factory.mktemp("work"), certificates.write(tmp_path_factory.mktemp("tls"))
    before = snapshot(exported)
    files = TlsFiles(*(folder / name for name in ("server.pem", "server.key", "ca.pem")))
    serving = Serving(
        "embedded", grpc_port=0, metrics_port=0, tls=files, shared_memory=False, exit_timeout=LONGEST
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton, "NGC", ngc(tmp_path_factory.mktemp("tritonserver")))
        patch.setattr(deletion_cost, "DeletionCost", partial(DeletionCost, interval=0.2))
        identity = deletion_cost.Identity("127.0.0.1", api.port, "lipserve-0", api.account)
        pod = Pod(exported, work, serving, identity, heal_seconds=1.0)
        with HealthPort("127.0.0.1", 0, pod) as port:
            health = Page(port.port)
            assert health.get("/livez") == (200, "ok\n")
            assert health.get("/readyz") == (503, "The pod is starting.\n")
            assert health.metric("lipserve_ready") == 0
            pod.start()
            try:
                yield Running(pod, health, work, folder, api, lambda: snapshot(exported) == before)
            finally:
                pod.stop(force=True)


@pytest.fixture(scope="module")
def slow_clip() -> bytes:
    """A second that keeps a stage busy for a while."""
    return portrait.clip(1.0, (1280, 720))


@pytest.fixture(scope="module")
def silence() -> bytes:
    return audio.wav(np.zeros(16000, np.float32))


def test_a_pod_is_ready_after_a_clip_through_its_ensemble(running: Running) -> None:
    assert running.health.get("/livez") == (200, "ok\n")
    assert running.health.get("/readyz") == (200, "ok\n")
    assert running.health.metric("lipserve_ready") == 1
    assert running.health.metric("lipserve_draining") == 0
    assert running.health.metric("lipserve_start_seconds") > 0
    page = Page(port_of(running.pod.metrics_url))
    for stage in ("lipwarp_preprocess", "wav2lip_preprocess"):
        assert page.metric("lipserve_segments_started_total", stage=stage) >= 1
    assert page.metric("lipserve_frames_total") >= 32


def test_pod_uses_the_images_triton_and_leaves_the_store_unchanged(running: Running) -> None:
    binary, *words = Path(f"/proc/{running.pod.pid}/cmdline").read_bytes().decode().split("\0")
    assert f"--backend-directory={Path(binary).parents[1] / 'backends'}" in words
    assert running.untouched()
    assert (running.work / "repository/face_detector/1/model.onnx").is_symlink()


def test_every_model_and_place_has_its_series(running: Running) -> None:
    for model in ("face_detector", "lip_renderer", "lipwarp_prepare", "wav2lip_preprocess", "postprocess"):
        assert running.health.metric("lipserve_model_healthy", model=model) == 1
    for path in ("/dev/shm", str(running.work)):
        free = running.health.metric("lipserve_storage_free_bytes", path=path)
        assert 0 < free <= running.health.metric("lipserve_storage_size_bytes", path=path)


def test_the_certificate_that_is_served_tells_its_end(running: Running) -> None:
    path = running.certificates / "server.pem"
    told = running.health.metric("lipserve_certificate_expiry_timestamp_seconds", file=str(path))
    ends = [c.not_valid_after_utc.timestamp() for c in x509.load_pem_x509_certificates(path.read_bytes())]
    assert told == min(ends)


@pytest.mark.parametrize("who", ["plain text", "no certificate", "stranger"])
def test_a_client_without_a_known_certificate_is_refused(running: Running, who: str) -> None:
    tls = {
        "plain text": None,
        "no certificate": TLS(running.certificates / "ca.pem"),
        "stranger": running.tls("stranger"),
    }[who]
    with Client(running.pod.url, tls=tls, retries=0) as client, pytest.raises(ConnectError):
        client.generate(np.zeros((1, 96, 96, 3), np.uint8), np.zeros(1600, np.float32))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.load_model("wav2lip_preprocess"),
        lambda client: client.unload_model("wav2lip_preprocess"),
        lambda client: client.update_trace_settings(settings={"trace_rate": "1"}),
        lambda client: client.update_log_settings({"log_verbose_level": 9}),
        lambda client: client.register_system_shared_memory("region", "/region", 64),
        lambda client: client.register_cuda_shared_memory("region", b"AA==", 0, 64),
        lambda client: client.unregister_system_shared_memory(),
    ],
    ids=["load", "unload", "trace", "log", "shared memory", "CUDA memory", "unregister"],
)
def test_a_client_can_only_ask_for_work(running: Running, call: Callable[[Any], Any]) -> None:
    folder = running.certificates
    with InferenceServerClient(
        running.pod.url,
        ssl=True,
        root_certificates=str(folder / "ca.pem"),
        private_key=str(folder / "client.key"),
        certificate_chain=str(folder / "client.pem"),
    ) as client:
        assert client.is_model_ready("lipwarp")
        with pytest.raises(InferenceServerException, match="protocol is restricted"):
            call(client)


def test_the_age_of_the_oldest_follows_a_queue_up_and_down(
    running: Running, slow_clip: bytes, silence: bytes
) -> None:
    """Six requests come at once, and `lipwarp_preprocess` has two processes."""
    health, frames = running.health, []
    asked = time.monotonic()
    assert health.metric("lipserve_pending_segments") == health.metric("lipserve_oldest_pending_seconds") == 0

    def ask() -> None:
        with running.client(timeout=120) as client:
            frames.append(client.dub(slow_clip, silence).report.frames)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: health.metric("lipserve_pending_segments") >= 2, "nothing waits")
    ages, looks = [health.metric("lipserve_oldest_pending_seconds")], [time.monotonic()]
    while health.metric("lipserve_pending_segments"):
        ages.append(health.metric("lipserve_oldest_pending_seconds"))
        looks.append(time.monotonic())
        time.sleep(0.1)
    assert all(age <= look - asked for age, look in zip(ages, looks, strict=True)), "nobody waited so long"
    looks.append(time.monotonic())
    blind = max(after - before for before, after in itertools.pairwise(looks))
    assert max(ages) >= looks[-1] - looks[0] - blind - 2.5, "the last one had waited all the time"
    assert health.metric("lipserve_oldest_pending_seconds") == 0
    for thread in threads:
        thread.join()
    assert frames == [25] * 6
    # What was at hand went to Kubernetes, up and down.
    until(lambda: costs(running)[-1] == 0, f"{costs(running)}")
    assert 4 <= max(costs(running)) <= 7  # one that begins may be counted on both sides of a page


def costs(running: Running) -> list[int]:
    return [int(told[deletion_cost.ANNOTATION]) for told in running.api.annotations()]


def test_a_killed_process_is_told_of_and_healed(running: Running) -> None:
    health = running.health
    before = health.metric("lipserve_model_restarts_total", model="face_landmarks")
    (process,) = [p for p, model in stubs(running.pod.pid).items() if model == "face_landmarks"][:1]
    with paused(running.pod.pid):  # nothing is healed meanwhile
        os.kill(process, signal.SIGKILL)
        until(lambda: health.get("/readyz")[0] == 503, "it is still called ready")
        assert health.metric("lipserve_model_healthy", model="face_landmarks") == 0
    until(lambda: health.get("/readyz")[0] == 200, health.get("/readyz")[1])
    assert health.metric("lipserve_model_healthy", model="face_landmarks") == 1
    assert health.metric("lipserve_model_restarts_total", model="face_landmarks") == before + 1


def test_livez_fails_when_triton_keeps_much_memory_of_dead_processes(
    running: Running, slow_clip: bytes, silence: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their regions have lost their names, and Triton still has them mapped."""
    health, pod = running.health, running.pod
    with running.client(timeout=120) as client:
        sent = threading.Thread(target=lambda: client.dub(slow_clip, silence, SLOW))
        sent.start()
        until(lambda: not pod.admission.quiet(["lipwarp"], 0), "no process is at work")
        for process in [p for p, model in stubs(pod.pid).items() if model == "lipwarp_preprocess"]:
            os.kill(process, signal.SIGKILL)
        until(lambda: pod.kept() > 0, "Triton keeps nothing")
        sent.join()  # its client has sent it again
    until(lambda: health.get("/readyz")[0] == 200, lambda: health.get("/readyz")[1])
    assert health.get("/livez")[0] == 200, "a few MiB of all of /dev/shm"
    monkeypatch.setattr("lipserve_server.pod.server.KEPT_SHARE_AT_WORK", 0.0)
    status, text = health.get("/livez")
    assert status == 503
    assert "of shared memory for processes that have died" in text
    assert health.get("/readyz")[0] == 503, "no request goes to a pod that is about to be restarted"


def test_livez_fails_when_a_model_cannot_be_restarted(running: Running) -> None:
    health, adapter = running.health, running.work / "repository/face_detector/1/model.py"
    sound = adapter.read_text()
    adapter.write_text("This is no Python.")
    (process,) = [p for p, model in stubs(running.pod.pid).items() if model == "face_detector"][:1]
    os.kill(process, signal.SIGKILL)
    until(lambda: health.get("/readyz")[0] == 503, "it is still called ready")
    assert health.get("/livez")[0] == 200, "the supervisor has had no time"
    until(lambda: health.get("/livez")[0] == 503, "a dead model is no matter")
    assert "The model face_detector has been dead for" in health.get("/livez")[1]
    adapter.write_text(sound)
    until(lambda: health.get("/livez")[0] == 200, health.get("/livez")[1])
    until(lambda: health.get("/readyz")[0] == 200, health.get("/readyz")[1])


def test_a_segment_that_takes_longer_than_any_may_counts_as_hung(running: Running, slow_clip: bytes) -> None:
    health, told = running.health, list[str]()
    silence = audio.wav(np.zeros(2 * 16000, np.float32))  # fifty frames: many times LONGEST
    with running.client(timeout=120) as client:
        asked = threading.Thread(target=lambda: client.dub(slow_clip, silence, SLOW))
        asked.start()
        while asked.is_alive():
            told += re.findall(r"(\S+)_0_[01] has been at one segment", health.get("/livez")[1])
            time.sleep(0.1)
        asked.join()
    assert told, "it was never told"
    assert told[-1] == "lipwarp_postprocess"  # on a slow machine another stage may take as long before it
    until(lambda: health.get("/livez")[0] == 200, health.get("/livez")[1])
