"""Nothing that a client sends ends the server, or a process of it; who goes away costs next to nothing."""

from __future__ import annotations

import stat
import struct
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import Client, audio
from lipserve.errors import InputError, LimitError, ServerFullError, from_wire
from lipserve_server.inside.shm import SHM
from lipserve_server.inside.tensors import CANARY
from lipserve_server.launcher.processes import regions, stubs
from tests.support.servers import RunningServer
from tests.support.waiting import until

pytestmark = pytest.mark.serve

SHAPES: list[tuple[str, str, str, list[int]]] = [
    ("wav2lip_generate", "FACES", "UINT8", [2**62, 2**62, 4, 3]),
    ("wav2lip_generate", "FACES", "UINT8", [-(2**63), 96, 96, 3]),
    ("wav2lip_generate", "AUDIO", "FP32", [2**62]),
    ("wav2lip_generate", "AUDIO", "FP32", [2**62 + 1]),
    ("face_landmarks", "IMAGES", "UINT8", [2**62, 192, 192, 3]),
    ("postprocess", "FRAMES", "INT32", [2**62]),
    ("lipwarp", "VIDEO", "BYTES", [2**62]),
]


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


@pytest.fixture
def stub(server: RunningServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(autouse=True)
def nobody_dies(request: pytest.FixtureRequest) -> Iterator[None]:
    """A stage that has grown is started anew where nobody asks for anything, which is no death."""
    server: RunningServer = request.getfixturevalue("server")
    until(lambda: settled(server.log.read_text()), "a stage that has grown does not come back")
    before, logged = stubs(server.pid), len(server.log.read_text())
    yield
    if stubs(server.pid) != before:
        until(lambda: "has grown" in server.log.read_text()[logged:], "a process was lost without a reason")
        assert "died" not in server.log.read_text()[logged:]


def settled(log: str) -> bool:
    """Tell whether the last stage that had grown is back: what asked for much may be a test before this."""
    before, grown, after = log.rpartition(" has grown in memory")
    return not grown or f"successfully loaded '{before.rpartition(' ')[2]}'" in after


def refused(stub: Any, request: service_pb2.ModelInferRequest) -> InputError:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request, timeout=30)
    error = from_wire(str(caught.value.details()))
    assert isinstance(error, InputError), caught.value
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return error


@pytest.mark.parametrize(("model", "name", "dtype", "shape"), SHAPES)
def test_a_shape_that_overflows_reaches_no_process(
    stub: Any, model: str, name: str, dtype: str, shape: list[int]
) -> None:
    request = service_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name=name, datatype=dtype)
    tensor.shape.extend(shape)
    request.raw_input_contents.append(b"" if shape[0] != 2**62 + 1 else bytes(4))
    assert "is declared as" in refused(stub, request).message


@pytest.mark.parametrize("model", ["postprocess", "lipwarp", "wav2lip_preprocess"])
def test_a_classification_of_text_does_not_end_triton(stub: Any, model: str, server: RunningServer) -> None:
    """Triton 24.10 divides by the elements of a text, which are none, where a canary answers at once."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.parameters[CANARY].bool_param = True
    for name in ("VIDEO", "AUDIO"):
        request.inputs.add(name=name, datatype="BYTES").shape.append(1)
        request.raw_input_contents.append(text(b""))
    for name in ("REPORT", "CONTEXT"):
        request.outputs.add(name=name).parameters["classification"].int64_param = 1
    assert "classification" in refused(stub, request).message


@pytest.mark.parametrize("body", [b"\xff" * 100, b"", b"\x08" + b"\xff" * 20])
def test_garbage_is_refused(server: RunningServer, body: bytes) -> None:
    with grpc.insecure_channel(server.url) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(body, timeout=30)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


def test_a_message_above_the_limit_is_refused_with_a_type(server: RunningServer) -> None:
    with Client(server.url) as client, pytest.raises(LimitError, match="larger"):
        client.generate(np.zeros((3, 96, 96, 3), np.uint8), np.zeros(68 << 20, np.float32))


def test_streams_and_unknown_calls_are_refused(server: RunningServer, stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="Call ModelInfer"):
        list(stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest()]), timeout=30))
    with grpc.insecure_channel(server.url) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/other.Service/Call")(b"", timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_regions_are_the_servers_own(server: RunningServer) -> None:
    found = {region for process in stubs(server.pid) for region in regions(process, SHM / "lipserve_server_")}
    assert len(found) >= len(stubs(server.pid))
    assert {stat.S_IMODE(region.stat().st_mode) for region in found} == {0o600}
    with InferenceServerClient(server.url) as triton:
        for key in (f"/{next(iter(found)).name}", next(iter(found)).name, "/../shm/x"):
            with pytest.raises(InferenceServerException, match="not a client's"):
                triton.register_system_shared_memory("mine", key, 1 << 20)


def clip_request(clip: bytes, sound: bytes, options: bytes = b"{}") -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="wav2lip")
    for name, data in (("VIDEO", clip), ("AUDIO", sound), ("OPTIONS", options)):
        request.inputs.add(name=name, datatype="BYTES").shape.append(1)
        request.raw_input_contents.append(text(data))
    return request


def calls_of(stub: Any, count: int, seconds: float) -> list[Any]:
    """Begin calls of clips of so many seconds."""
    sound = audio.wav(np.zeros(round(seconds * 16000), np.float32))
    request = clip_request(portrait.clip(seconds, (128, 128)), sound)
    return [stub.ModelInfer.future(request, timeout=120) for _ in range(count)]


def begun(server: RunningServer) -> float:
    name = 'lipserve_segments_started_total{stage="wav2lip_preprocess"}'
    return server.metrics().get(name, 0.0)


def test_a_waiting_call_that_is_given_up_costs_nothing(
    server: RunningServer, stub: Any, client: Client
) -> None:
    before = begun(server)
    calls = calls_of(stub, 60, seconds=2.0)
    until(lambda: begun(server) > before, "none is begun")
    for call in calls:
        call.cancel()
    clip, sound = portrait.clip(0.2, (96, 96)), audio.wav(np.zeros(3200, np.float32))
    assert client.dub(clip, sound, tier="wav2lip").report.frames == 5
    assert begun(server) - before <= 20, "what nobody waits for was begun"


@pytest.mark.parametrize(("stage", "seconds"), [("wav2lip_preprocess", 60), ("postprocess", 12)])
def test_a_running_step_of_an_ensemble_sees_its_caller_go(
    server: RunningServer, stub: Any, stage: str, seconds: int
) -> None:
    """Triton 24.10 tells it nothing."""
    sound = audio.wav(np.zeros(seconds * 16000, np.float32))  # many seconds of work
    request = clip_request(portrait.clip(1.0, (256, 256)), sound, b'{"preset": "veryslow", "crf": 0}')
    name = f'lipserve_requests_total{{outcome="cancelled",stage="{stage}"}}'
    before = server.metrics().get(name, 0.0)
    for _ in range(5):  # a busy machine may hear of a step when it is almost over
        call = stub.ModelInfer.future(request, timeout=120)
        until(lambda: server.in_flight(stage), "it is not begun")
        call.cancel()
        until(lambda: server.in_flight() == 0, "another goes on")
        if server.metrics().get(name, 0.0) > before:
            return
    pytest.fail("the step goes on to its end")


def test_a_full_server_says_so_and_serves_what_it_has_accepted(server: RunningServer, stub: Any) -> None:
    calls = calls_of(stub, 150, seconds=0.4)
    codes = [call.code() if call.exception() else grpc.StatusCode.OK for call in calls]
    refusals = [from_wire(str(call.details())) for call in calls if call.exception()]
    assert codes.count(grpc.StatusCode.OK) >= 64
    assert len(refusals) >= 10
    assert {type(error) for error in refusals} == {ServerFullError}
    assert all(error is not None and error.retryable for error in refusals)


@pytest.mark.slow
def test_calls_that_send_nothing_keep_out_no_other_call(
    server: RunningServer, client: Client, media: tuple[str, str]
) -> None:
    over = threading.Event()

    def silence() -> Iterator[bytes]:
        over.wait(300)
        yield from ()

    with grpc.insecure_channel(server.url) as channel:
        call = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        calls = [call.future(silence()) for _ in range(20)]
        assert client.dub(*media, tier="wav2lip").report.frames == 25
        over.set()
        assert all(call.exception() for call in calls)


def test_many_clients_at_once_get_their_own_answers(server: RunningServer) -> None:
    images = np.random.default_rng(1).integers(0, 256, (8, 1, 192, 192, 3), np.uint8)
    answers: list[list[Any]] = [[] for _ in images]

    def ask(index: int, times: int) -> None:
        with InferenceServerClient(server.url) as triton:
            tensor = InferInput("IMAGES", [1, 192, 192, 3], "UINT8")
            tensor.set_data_from_numpy(images[index])
            for _ in range(times):
                answers[index].append(triton.infer("face_landmarks", [tensor]).as_numpy("LANDMARKS"))

    for index in range(len(images)):
        ask(index, 1)
    threads = [threading.Thread(target=ask, args=(index, 20)) for index in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for own in answers:
        assert len(own) == 21
        for answer in own[1:]:
            np.testing.assert_allclose(answer, own[0], atol=1e-2)
