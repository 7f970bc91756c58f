"""A real pod in a cgroup with the memory that the chart gives it: the largest requests, and hostile ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from demo import portrait
from lipserve import audio
from lipserve.errors import LipServeError, from_wire
from tests.cluster.proxy import only
from tests.support.cgroups import MemoryCgroup, memory_cgroup
from tests.support.servers import PodProgram

pytestmark = [pytest.mark.serve, pytest.mark.whole, pytest.mark.timeout(900)]

MIB = 1 << 20
LARGEST = 128 * MIB  # of a request through Envoy: envoy.limits.requestMiB
SOUND = audio.wav(np.zeros(8000, np.float32))
AT_ONCE = 4  # requests: more than are at work together on two cores


@dataclass(frozen=True)
class Limited:
    """A pod under the chart's limit, in bytes."""

    pod: PodProgram
    cgroup: MemoryCgroup
    limit: int

    def ask(self, video: bytes, sound: bytes = SOUND, tier: str = "lipwarp") -> LipServeError | int:
        """Return the bytes of an answer, or its typed error."""
        request = service_pb2.ModelInferRequest(model_name=tier)
        for name, data in (("VIDEO", video), ("AUDIO", sound)):
            request.inputs.add(name=name, datatype="BYTES").shape.append(1)
            request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
        lengths = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        with grpc.insecure_channel(self.pod.url, lengths) as channel:
            try:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                return sum(map(len, stub.ModelInfer(request, timeout=600).raw_output_contents))
            except grpc.RpcError as error:
                told = from_wire(str(error.details()))
                if told is None:
                    raise
                return told

    def holds(self) -> None:
        """Fail where the kernel has killed one of its processes, or it came near to that."""
        assert self.cgroup.kills == 0
        assert self.cgroup.peak < self.limit, f"{self.cgroup.peak / MIB:.0f} of {self.limit / MIB:.0f} MiB"


def argument(name: str, container: dict[str, Any]) -> list[str]:
    return [word for word in container["args"] if word.startswith(f"--{name}=")]


@pytest.fixture(scope="module")
def limited(
    render: Callable[..., list[dict[str, Any]]], exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Limited]:
    objects = render({"profile": "embedded", "tests": {"enabled": False}})
    (container,) = only(objects, "Deployment", "lipserve")["spec"]["template"]["spec"]["containers"]
    quantity = container["resources"]["limits"]["memory"]
    assert quantity.endswith("Gi")
    limit = int(quantity.removesuffix("Gi")) << 30
    with memory_cgroup("pod", limit) as cgroup:
        work = tmp_path_factory.mktemp("pod") / "work"
        with PodProgram(exported, work, *argument("limit", container), before=cgroup.before) as pod:
            yield Limited(pod, cgroup, limit)


def test_the_largest_pictures_several_at_once(limited: Limited) -> None:
    """Enough of them to fill an encoder's look-ahead."""
    video, sound = portrait.clip(2.4, (4096, 2160)), audio.wav(np.zeros(38_400, np.float32))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda _: limited.ask(video, sound), range(AT_ONCE)))
    assert all(isinstance(answer, int) and answer > 100_000 for answer in answers), answers
    limited.holds()


def test_a_larger_picture_is_refused(limited: Limited) -> None:
    refused = limited.ask(portrait.clip(0.2, (4098, 2162)))
    assert isinstance(refused, LipServeError)
    assert refused.code == "limit_exceeded"
    assert "this server takes 8847360" in str(refused)


def clip() -> bytes:
    return portrait.clip(0.4, (1920, 1080))


NOISE = np.random.default_rng(7)
HOSTILE: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "a video of noise": lambda: (NOISE.bytes(LARGEST - MIB), SOUND),
    "a speech of noise": lambda: (clip(), NOISE.bytes(LARGEST - MIB)),
    "a header and zeros": lambda: (clip()[:4000].ljust(LARGEST - MIB, b"\0"), SOUND),
    "a video and zeros": lambda: (clip().ljust(LARGEST - MIB, b"\0"), SOUND),
    "an hour of silence": lambda: (clip(), audio.wav(np.zeros((LARGEST - 2 * MIB) // 4, np.float32))),
    "the same picture, for as long as may be": lambda: (portrait.clip(0.04, (4096, 2160)) * 200, SOUND),
}
CODES = {"invalid_video", "invalid_audio", "limit_exceeded", "no_face", "server_full"}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("tier", ["lipwarp", "wav2lip"])
def test_hostile_requests_of_128_mib_are_refused_or_served_in_the_pods_memory(
    limited: Limited, kind: str, tier: str
) -> None:
    """Two at once are as many bytes as the chart accepts."""
    video, sound = HOSTILE[kind]()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: limited.ask(video, sound, tier), range(2)))
    codes = {answer.code for answer in answers if isinstance(answer, LipServeError)}
    assert codes <= CODES
    served = limited.ask(clip(), tier=tier)
    assert isinstance(served, int), "an honest clip afterwards"
    limited.holds()
