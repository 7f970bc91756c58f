"""A pod is taken away under load and comes back: nothing is lost. The naive way loses, so the test can fail.

Two real `lipserve pod` on two addresses behind an Envoy. Times, arguments and bootstrap are the chart's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import Client, audio
from lipserve.errors import LipServeError
from tests.cluster.proxy import Names, Proxy, free_port, only, running
from tests.support.servers import PodProgram
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = ("127.0.0.1", "127.0.0.2")
SMALL_CALLERS, CLIP_CALLERS = 6, 2
PAUSE = 0.2  # seconds of a caller between requests while a pod starts, which needs the processors too
VALUES: dict[str, Any] = {
    "profile": "embedded",
    # The chart's 15 s are for a cluster's news to travel; Envoy has to be as fast as this anyway.
    "lifecycle": {"longestSegmentSeconds": 3, "preStopSeconds": 5},
    "tests": {"enabled": False},
}


class ServingPod(PodProgram):
    """A `lipserve pod` with the arguments that the chart's Deployment gives it."""

    def __init__(
        self, spec: dict[str, Any], address: str, ports: dict[str, int], store: Path, folder: Path
    ) -> None:
        own = {
            "--repository": str(store),
            "--work": str(folder / "work"),
            "--host": address,
            "--grpc-port": str(ports["grpc"]),
            "--metrics-port": str(free_port(address)),
            "--health-port": str(ports["health"]),
        }
        (container,) = (found for found in spec["containers"] if found["name"] == "triton")
        arguments = dict(argument.split("=", 1) for argument in container["args"])
        assert own.keys() <= arguments.keys()
        hook = container["lifecycle"]["preStop"]
        self.pre_stop = float(hook["sleep"]["seconds"])
        self.grace = float(spec["terminationGracePeriodSeconds"])
        self.exit_timeout = float(arguments["--exit-timeout"])
        self.address = address
        given = [f"{name}={value}" for name, value in (arguments | own).items()]
        super().__init__(store, folder / "work", *given, host=address)

    def end(self, pre_stop: float) -> tuple[int, float]:
        """End it as the kubelet does; return its exit code and the seconds after SIGTERM."""
        time.sleep(pre_stop)
        told = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.grace - pre_stop)
        seconds = time.monotonic() - told
        self.process.kill()
        return self.process.wait(), seconds


class Load:
    """Callers without a single try of their own: small requests of a leaf model, and whole clips."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.pause = 0.0
        self.answered: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        rng = np.random.default_rng(7)
        self._crop = rng.integers(0, 256, (1, 192, 192, 3), dtype=np.uint8)
        with contextlib.closing(InferenceServerClient(url)) as client:
            self._points = self._ask(client)
        self._clip = portrait.clip(0.2, (96, 96)), audio.wav(np.zeros(3200, np.float32))
        small = [threading.Thread(target=self._run, args=(self._small,)) for _ in range(SMALL_CALLERS)]
        clips = [threading.Thread(target=self._run, args=(self._clips,)) for _ in range(CLIP_CALLERS)]
        self._threads = small + clips
        for thread in self._threads:
            thread.start()

    @property
    def count(self) -> int:
        with self._lock:
            return sum(self.answered.values()) + sum(self.lost.values())

    def until(self, condition: Callable[[], bool], seconds: float = 90.0) -> None:
        until(condition, lambda: f"{self.answered} {self.lost}", seconds)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, calls: Callable[[], Iterator[str]]) -> None:
        for outcome in calls():
            with self._lock:
                kind, _, error = outcome.partition(" ")
                if error:
                    self.lost[f"{kind}: {error[:100]}"] += 1
                else:
                    self.answered[kind] += 1
            if self._stopping.is_set():
                return

    def _ask(self, client: InferenceServerClient) -> Any:
        tensor = InferInput("IMAGES", list(self._crop.shape), "UINT8")
        tensor.set_data_from_numpy(self._crop)
        answer = client.infer("face_landmarks", [tensor], client_timeout=60.0)
        return answer.as_numpy(answer.get_response().outputs[0].name)

    def _small(self) -> Iterator[str]:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        with contextlib.closing(InferenceServerClient(self._url, channel_args=options)) as client:
            while True:
                try:
                    right = np.array_equal(self._ask(client), self._points)
                    yield "small" if right else "small a wrong answer"
                except InferenceServerException as error:
                    yield f"small {error.status()} {error.message()}"
                time.sleep(self.pause)

    def _clips(self) -> Iterator[str]:
        with Client(self._url, retries=0, timeout=60.0) as client:
            while True:
                try:
                    result = client.dub(*self._clip, tier="wav2lip")
                    yield "clip" if result.report.frames == 5 else f"clip {result.report.frames} frames"
                except LipServeError as error:
                    yield f"clip {error}"
                time.sleep(self.pause)


class Scene:
    """Pods on two addresses, the names that lead to them, and what was measured."""

    def __init__(self, spec: dict[str, Any], store: Path, folder: Path, opened: contextlib.ExitStack) -> None:
        self.ports = {"grpc": free_port(*ADDRESSES), "health": free_port(*ADDRESSES)}
        self.names = Names()
        opened.callback(self.names.close)
        self.measured: dict[str, dict[str, dict[str, int]]] = {}
        self._spec, self._store, self._folder, self._opened = spec, store, folder, opened

    def pod(self, name: str, address: str) -> ServingPod:
        folder = self._folder / name
        folder.mkdir()
        made = ServingPod(self._spec, address, self.ports, self._store, folder)
        self._opened.callback(made.close)
        return made

    def wait(self, *pods: ServingPod) -> None:
        """Return when they are ready; from then on DNS has both addresses."""
        until(lambda: all(pod.is_ready() for pod in pods), "the pods are ready", 600)
        self.names.addresses = list(ADDRESSES)

    def proxy(self, objects: list[dict[str, Any]], name: str) -> Proxy:
        return Proxy(objects, self._folder / name, self.ports, self.names)

    @contextlib.contextmanager
    def load(self, name: str, proxy: Proxy) -> Iterator[Load]:
        """Requests through `proxy`, counted as `name`."""
        with running(proxy):
            load = Load(proxy.url)
            try:
                yield load
            finally:
                load.stop()
                self.measured[name] = {"answered": dict(load.answered), "lost": dict(load.lost)}


def _goes(scene: Scene, load: Load, pod: ServingPod) -> None:
    """Take a pod away as Kubernetes does: its address goes as the hook begins."""
    scene.names.addresses = [address for address in ADDRESSES if address != pod.address]
    code, seconds = pod.end(pod.pre_stop)
    assert code == 0
    assert seconds < pod.exit_timeout
    assert not load.lost


def _comes_back(scene: Scene, envoy: Proxy, load: Load, name: str, address: str) -> ServingPod:
    """Put another pod in the place of one that is gone."""
    load.pause = PAUSE
    fresh = scene.pod(name, address)
    scene.wait(fresh)
    load.pause = 0.0
    load.until(lambda: envoy.stat("cluster.triton.membership_healthy") == 2)
    return fresh


def _is_told_at_once(scene: Scene, envoy: Proxy, pod: ServingPod) -> None:
    """SIGTERM while its address is still in every cache: retries and health checks alone."""
    with scene.load("without preStop", envoy) as load:
        load.until(lambda: load.count >= 200)
        code, _ = pod.end(0.0)
        load.until(lambda: envoy.stat("cluster.triton.membership_healthy") == 1)
    assert code == 0
    assert not load.lost


def _is_lost(scene: Scene, envoy: Proxy, pod: ServingPod) -> None:
    """The naive way."""
    with scene.load("naive", envoy) as load:
        load.until(lambda: load.count >= 50)
        os.kill(pod.triton, signal.SIGTERM)
        load.until(lambda: sum(load.lost.values()) > 0)


@pytest.fixture
def scene(
    render: Callable[..., list[dict[str, Any]]], exported_wav2lip: Path, tmp_path: Path
) -> Iterator[tuple[Scene, ServingPod, ServingPod]]:
    """Two pods, ready; what was measured is written down at the end."""
    spec = only(render(VALUES), "Deployment", "lipserve")["spec"]["template"]["spec"]
    with contextlib.ExitStack() as opened:
        made = Scene(spec, exported_wav2lip, tmp_path, opened)
        first, second = (made.pod(name, at) for name, at in zip(("first", "second"), ADDRESSES, strict=True))
        made.wait(first, second)
        yield made, first, second
    (ROOT / "build/test/drain.json").write_text(json.dumps(made.measured, indent=1))


Render = Callable[..., list[dict[str, Any]]]


def test_one_pod_of_two_goes_for_good(render: Render, scene: tuple[Scene, ServingPod, ServingPod]) -> None:
    made, first, second = scene
    envoy = made.proxy(render(VALUES | {"envoy": {"enabled": True}}), "careful")
    with made.load("scale-in", envoy) as load:
        load.until(lambda: load.count >= 150)
        _goes(made, load, second)
        before = load.count
        load.until(lambda: load.count >= before + 100)
    assert not load.lost
    assert load.answered["clip"] > 0
    naive = {"envoy": {"enabled": True, "retries": {"attempts": 0}}}
    _is_lost(made, made.proxy(render(VALUES | naive), "naive"), first)


@pytest.mark.whole
@pytest.mark.timeout(1800)
def test_five_thousand_requests_through_a_rollout_and_a_scale_in(
    render: Render, scene: tuple[Scene, ServingPod, ServingPod]
) -> None:
    made, first, second = scene
    envoy = made.proxy(render(VALUES | {"envoy": {"enabled": True}}), "careful")
    with made.load("rollout and scale-in", envoy) as load:
        for number, pod in enumerate((second, first)):
            before = load.count
            load.until(lambda before=before: load.count >= before + 1000, seconds=600)  # type: ignore[misc]
            _goes(made, load, pod)
            fresh = _comes_back(made, envoy, load, f"new-{number}", pod.address)
        load.until(lambda: load.count >= 4000, seconds=900)
        _goes(made, load, fresh)
        load.until(lambda: load.count >= 5000, seconds=900)
    assert not load.lost
    assert load.answered["clip"] >= 20
    fresh = made.pod("again", fresh.address)
    made.wait(fresh)
    _is_told_at_once(made, envoy, fresh)
