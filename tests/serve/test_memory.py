"""What a large request takes is given back, and a shared memory that is full is told as such."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lipserve import Client, audio
from lipserve.contracts import TierName
from lipserve.errors import LimitError, LipServeError, ServerFullError, StorageError, VideoError, from_wire
from lipserve_server.inside import shm
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher.processes import alive, regions, stubs
from tests.support.servers import RunningServer, ServeProgram, serve
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]

MIB = 1 << 20


def ask(url: str, megabytes: int, tier: TierName = "wav2lip") -> Any:
    """Return the answer to a video of that size, which is none, or the error that came instead."""
    request = service_pb2.ModelInferRequest(model_name=tier)
    for name, size in (("VIDEO", megabytes * MIB), ("AUDIO", 1)):
        request.inputs.add(name=name, datatype="BYTES").shape.append(1)
        request.raw_input_contents.append(struct.pack("<I", size) + bytes(size))
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(url, options) as channel:
        try:
            return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)
        except grpc.RpcError as error:
            text = str(error.details())
            assert "lipserve_server_" not in text
            return from_wire(text) or error


def room_at_last(url: str, tier: TierName) -> object:
    """Return the answer to 14 MiB that comes when there is room for them."""
    answers: list[object] = []

    def taken() -> bool:
        answers.append(ask(url, 14, tier))
        return isinstance(answers[-1], LipServeError) and not answers[-1].retryable

    until(taken, "large requests fail for ever")
    return answers[-1]


def at_work(server: RunningServer, processes: list[int]) -> list[int]:
    """Return those of some stages' processes that are at a segment: they bear their instance's name."""
    busy = [
        name.split('instance="')[1].split('"')[0].encode()
        for name, value in server.metrics().items()
        if name.startswith("lipserve_segments_in_flight{") and value
    ]
    lines = {process: Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0") for process in processes}
    return [process for process, line in lines.items() if any(instance in line for instance in busy)]


def request_of(video: str, sound: bytes, tier: TierName = "wav2lip") -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=tier)
    for name, data in (("VIDEO", Path(video).read_bytes()), ("AUDIO", sound)):
        request.inputs.add(name=name, datatype="BYTES").shape.append(1)
        request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
    return request


def shared(server: RunningServer) -> int:
    """Return the bytes of shared memory that the server's living processes hold."""
    found = {region for process in stubs(server.pid) for region in regions(process, shm.SHM / "lipserve_")}
    return sum(map(shm.size, found))


@pytest.fixture(scope="module")
def own_server(exported_wav2lip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of one tier, whose processes this module may kill."""
    with serve(exported_wav2lip, tmp_path_factory.mktemp("server") / "triton.log") as running:
        yield running


def test_a_grown_stage_is_restarted_when_no_request_is_at_work(
    own_server: RunningServer, media: tuple[str, str]
) -> None:
    with Client(own_server.url, timeout=100) as client:
        client.dub(*media, tier="wav2lip")
        before = shared(own_server)
        ask(own_server.url, 100)
        assert shared(own_server) > before + 90 * MIB
        until(lambda: shared(own_server) < 1.3 * before, "nothing is given back")
        assert "The stage wav2lip_preprocess has grown" in own_server.log.read_text()
        assert client.dub(*media, tier="wav2lip").report.frames == 25


def test_a_request_waits_for_a_stage_that_is_started_anew(
    own_server: RunningServer, media: tuple[str, str]
) -> None:
    said = own_server.log.read_text().count("has grown")
    ask(own_server.url, 100)
    until(lambda: own_server.log.read_text().count("has grown") > said, "it is not started anew")
    with Client(own_server.url, retries=0, timeout=100) as client:
        assert client.dub(*media, tier="wav2lip").report.frames == 25


def test_a_killed_process_leaves_no_memory(own_server: RunningServer, media: tuple[str, str]) -> None:
    def living() -> list[int]:
        return [process for process, model in stubs(own_server.pid).items() if model == "wav2lip_preprocess"]

    until(lambda: len(living()) == 2, "some are left of the test before")
    old = living()
    left = {region for process in old for region in regions(process, shm.SHM / "lipserve_")}
    assert len(left) == 2
    with grpc.insecure_channel(own_server.url) as channel:  # at work: then its sibling never ends by itself
        under_way = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(
            request_of(media[0], audio.wav(np.zeros(60 * 16000, np.float32))), timeout=100
        )
        until(lambda: at_work(own_server, old), "it is not begun")
        os.kill(at_work(own_server, old)[0], signal.SIGKILL)
        assert under_way.exception()
    until(lambda: not any(map(alive, old)), "a sibling stays")
    until(lambda: not any(region.exists() for region in left), "their regions stay")
    assert len(living()) == 2
    with Client(own_server.url, retries=8, timeout=100) as client:
        assert client.dub(*media, tier="wav2lip").report.frames == 25


@pytest.fixture(scope="module")
def limited(exported_lipwarp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    limits = Limits(pixels=128 * 128, preset="fast", crf=10, result_mib=1, waiting=0, message_mib=8)
    with serve(exported_lipwarp, tmp_path_factory.mktemp("limited") / "triton.log", limits=limits) as running:
        yield running


def test_limits_reach_the_stages_and_the_guard(limited: RunningServer, media: tuple[str, str]) -> None:
    with Client(limited.url, retries=0, timeout=60) as client:
        for over in ({"preset": "medium"}, {"crf": 9}):
            ((name, value),) = over.items()
            with pytest.raises(LimitError, match=f"{name}={value} is beyond this server's limit"):
                client.dub(*media, **over)
        assert client.dub(*media, crf=10, preset="fast").report.frames == 25
    refusal = ask(limited.url, 9, "lipwarp")
    assert refusal.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_server_without_waiting_places_refuses_further_requests(
    limited: RunningServer, media: tuple[str, str], portrait_clip: bytes
) -> None:
    request = request_of(media[0], Path(media[1]).read_bytes(), "lipwarp")
    with grpc.insecure_channel(limited.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request, timeout=60) for _ in range(30)]
        errors = [from_wire(call.exception().details()) for call in calls if call.exception()]
    assert 0 < len(errors) <= 30 - len(os.sched_getaffinity(0)), "one for each core is at work"
    assert {type(error) for error in errors} == {ServerFullError}
    with (
        Client(limited.url, retries=0, timeout=60) as client,
        pytest.raises(LimitError, match="640x640 pixels; this server takes 16384"),
    ):
        client.dub(portrait_clip, media[1])


@pytest.fixture
def small_memory(request: pytest.FixtureRequest, tiers: Sequence[TierName]) -> Iterator[ServeProgram]:
    """A server of some tiers that sees a /dev/shm of 48 MiB."""
    repository = request.getfixturevalue("exported" if len(tiers) > 1 else f"exported_{tiers[0]}")
    own = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=48m tmpfs /dev/shm && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    with ServeProgram(repository, before=own) as made:
        yield made


@pytest.mark.parametrize(
    "tiers", [["wav2lip"], pytest.param(["wav2lip", "lipwarp"], marks=pytest.mark.whole)], ids="+".join
)
def test_a_full_shared_memory_is_told_and_comes_back(
    small_memory: ServeProgram, media: tuple[str, str], tiers: list[TierName]
) -> None:
    assert isinstance(ask(small_memory.url, 60), StorageError)
    with Client(small_memory.url, retries=0, timeout=100) as client:
        assert client.dub(*media, tier="wav2lip").report.frames == 25
    for tier in tiers * 2:  # what one has grown to is not missing for ever
        assert isinstance(room_at_last(small_memory.url, tier), VideoError)
