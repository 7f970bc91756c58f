"""Retries, deadlines and cancellation over real sockets, against a server that fails on demand."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lipserve import AsyncClient, CancelToken, Client
from lipserve.errors import (
    CancelledError,
    ConnectError,
    DeadlineExceededError,
    InputError,
    InternalError,
    LimitError,
    ModelNotFoundError,
    ProcessDiedError,
    UnavailableError,
    VideoError,
)
from lipserve_client import _connection as connection
from lipserve_client import _fleet as retry
from lipserve_client._client import drive
from lipserve_client._transports import Answer, Call, inband
from lipserve_client._transports.inband import InBand
from tests.support.ports import free_port
from tests.support.scripted_triton import Failing, ScriptedTriton, StartTriton

FACES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
SPEECH = np.zeros(3200, dtype=np.float32)
DRAINING = Failing(
    grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'wav2lip_generate' has no available versions"
)
ABSENT = Failing(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'wav2lip_generate' is not found")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.02)


@pytest.mark.parametrize(
    "failing",
    [
        DRAINING,
        Failing(grpc.StatusCode.INTERNAL, "Stub process 'wav2lip_generate_0_0' is not healthy."),
        Failing(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
        Failing(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)"),
        Failing(grpc.StatusCode.UNAVAILABLE, "[lipserve:storage_full] The disk is full. Wait."),
    ],
)
def test_transient_errors_are_retried(start_triton: StartTriton, failing: Failing) -> None:
    triton = start_triton()
    triton.script.extend([failing] * 3)
    with Client(triton.url) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)
    assert len(triton.calls) == 4


def test_a_request_that_ends_every_process_is_given_up(start_triton: StartTriton) -> None:
    triton = start_triton()
    dead = Failing(grpc.StatusCode.INTERNAL, "Stub process 'wav2lip_generate_0_0' is not healthy.")
    triton.script.extend([dead] * 20)
    with Client(triton.url) as client, pytest.raises(ProcessDiedError, match="send others"):
        client.generate(FACES, SPEECH)
    assert len(triton.calls) == 4


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        (
            Failing(grpc.StatusCode.INVALID_ARGUMENT, "[lipserve:invalid_video] No video. Send one."),
            VideoError,
        ),
        (Failing(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape"), InputError),
        (Failing(grpc.StatusCode.INTERNAL, "Failed to process the request(s)"), InternalError),
        (ABSENT, ModelNotFoundError),
    ],
)
def test_permanent_errors_are_not_retried(
    start_triton: StartTriton, failing: Failing, expected: type[Exception]
) -> None:
    triton = start_triton()
    triton.script.extend([failing] * 3)
    with Client(triton.url) as client, pytest.raises(expected):
        client.generate(FACES, SPEECH)
    assert len(triton.calls) == 1


def test_the_budget_ends_the_tries(start_triton: StartTriton) -> None:
    triton = start_triton()
    triton.script.extend([DRAINING] * 9)
    with Client(triton.url, retries=2) as client, pytest.raises(UnavailableError, match="few seconds"):
        client.generate(FACES, SPEECH)
    assert len(triton.calls) == 3


def test_a_retry_goes_to_another_server(start_triton: StartTriton) -> None:
    draining, absent, well = start_triton(), start_triton(), start_triton()
    draining.script.extend([DRAINING] * 9)
    absent.script.extend([ABSENT] * 9)
    with Client([draining.url, absent.url, well.url]) as client:
        for _ in range(4):
            assert np.array_equal(client.generate(FACES, SPEECH), FACES)
    assert len(well.calls) == 4
    assert len(draining.calls) + len(absent.calls) <= 8, "it came back to those, instead of going on"


@pytest.mark.parametrize("lacking_first", [True, False])
def test_a_server_that_drains_is_waited_for_where_the_other_lacks_the_model(
    start_triton: StartTriton, lacking_first: bool
) -> None:
    lacking, draining = start_triton(), start_triton()
    lacking.script.extend([ABSENT] * 9)
    draining.script.extend([DRAINING] * 2)
    urls = [lacking.url, draining.url] if lacking_first else [draining.url, lacking.url]
    with Client(urls) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)
    assert (len(lacking.calls), len(draining.calls)) == (1, 3)


def test_servers_share_the_work(start_triton: StartTriton) -> None:
    tritons = [start_triton() for _ in range(3)]
    with Client(",".join(triton.url for triton in tritons)) as client:
        for _ in range(9):
            client.generate(FACES, SPEECH)
    assert [len(triton.calls) for triton in tritons] == [3, 3, 3]


def test_a_dead_server_is_put_aside(start_triton: StartTriton) -> None:
    well = start_triton()
    with Client([f"127.0.0.1:{free_port('127.0.0.1')}", well.url]) as client:
        for _ in range(6):
            client.generate(FACES, SPEECH)
    assert len(well.calls) == 6


def test_nothing_listens(start_triton: StartTriton) -> None:
    with (
        Client(f"127.0.0.1:{free_port('127.0.0.1')}") as client,
        pytest.raises(ConnectError, match="lipserve serve"),
    ):
        client.generate(FACES, SPEECH)


def test_a_silent_server_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REACH_SECONDS", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began = time.perf_counter()
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with Client(url, retries=0) as client, pytest.raises(ConnectError):
            client.generate(FACES, SPEECH)
        assert time.perf_counter() - began < 25  # the call has no deadline, and gRPC's own are longer


def test_a_server_that_restarts_is_waited_for(start_triton: StartTriton) -> None:
    first = start_triton()
    with Client(first.url, retries=20) as client:
        client.generate(FACES, SPEECH)
        first.stop()
        second: list[ScriptedTriton] = []
        restart = threading.Timer(0.5, lambda: second.append(start_triton(port=first.port)))
        restart.start()
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)
        restart.join()
    assert second[0].calls == ["wav2lip_generate"]


def test_an_answer_of_another_form_is_a_defect(start_triton: StartTriton) -> None:
    triton = start_triton()
    triton.script.append(lambda request: service_pb2.ModelInferResponse(model_name="x"))
    with Client(triton.url) as client, pytest.raises(InternalError, match="FACES"):
        client.generate(FACES, SPEECH)


def test_the_deadline_covers_every_try(start_triton: StartTriton) -> None:
    triton = start_triton()
    triton.script.extend([Failing(DRAINING.status, DRAINING.message, 0.15)] * 50)
    began = time.perf_counter()
    with Client(triton.url, timeout=0.5, retries=50) as client, pytest.raises(DeadlineExceededError):
        client.generate(FACES, SPEECH)
    assert time.perf_counter() - began > 0.4
    assert len(triton.calls) <= 4  # 0.15 s each: a deadline of every try would end none of the fifty


def test_a_deadline_cancels_the_call_at_the_server(start_triton: StartTriton) -> None:
    triton = start_triton()
    triton.script.append(Failing(DRAINING.status, "late", 20))
    with Client(triton.url) as client, pytest.raises(DeadlineExceededError):
        client.generate(FACES, SPEECH, timeout=0.3)
    assert triton.cancelled.wait(15)


class TimedOut(InBand):
    """A transport that meets ETIMEDOUT, as on a network file system."""

    async def infer(self, call: Call, timeout: float) -> Answer:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_timeout_of_something_else_is_not_the_deadline(
    start_triton: StartTriton, timeout: float | None
) -> None:
    client = Client(start_triton().url, transport=TimedOut, timeout=timeout)
    with client, pytest.raises(TimeoutError, match="Connection timed out"):
        client.generate(FACES, SPEECH)


def test_a_token_cancels_the_call_at_the_server(start_triton: StartTriton) -> None:
    triton, token = start_triton(), CancelToken()
    triton.script.append(Failing(DRAINING.status, "late", 20))
    threading.Thread(target=lambda: triton.working.wait(60) and token.cancel()).start()
    with Client(triton.url) as client, pytest.raises(CancelledError):
        client.generate(FACES, SPEECH, cancel=token)
    assert triton.cancelled.wait(15)


def test_a_cancelled_task_cancels_the_call_at_the_server(start_triton: StartTriton) -> None:
    triton = start_triton()
    triton.script.append(Failing(DRAINING.status, "late", 20))

    async def give_up() -> None:
        async with AsyncClient(triton.url) as client:
            task = asyncio.create_task(client.generate(FACES, SPEECH))
            await asyncio.to_thread(triton.working.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    assert triton.cancelled.wait(15)


def test_headers_travel_with_every_call(start_triton: StartTriton) -> None:
    triton = start_triton()
    with Client(triton.url, headers={"x-api-key": "s3cret"}) as client:
        client.generate(FACES, SPEECH)
    assert triton.metadata[0]["x-api-key"] == "s3cret"


def test_two_event_loops_share_a_client(start_triton: StartTriton) -> None:
    triton = start_triton()
    client = AsyncClient(triton.url)
    for _ in range(2):
        assert asyncio.run(client.generate(FACES, SPEECH)).shape == FACES.shape
    asyncio.run(client.close())


def test_threads_share_a_client(start_triton: StartTriton) -> None:
    triton = start_triton()
    answers: list[bool] = []
    with Client(triton.url) as client:
        threads = [
            threading.Thread(
                target=lambda: answers.append(np.array_equal(client.generate(FACES, SPEECH), FACES))
            )
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 6


def test_a_request_larger_than_any_message_is_refused_before_it_is_sent(
    start_triton: StartTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inband, "MAX_MESSAGE_BYTES", 1 << 17)  # in place of 2 GiB
    triton = start_triton()
    crops = np.zeros((2, 128, 128, 3), np.uint8)
    with Client(triton.url) as client, pytest.raises(LimitError, match="shm='system'"):
        client.generate(crops, SPEECH)
    pieces = np.array([bytes(1 << 16)] * 3, np.object_)
    with Client(triton.url) as client, pytest.raises(LimitError, match="a gRPC message can carry 2"):
        drive(client._client._fleet.infer(Call("lipwarp_prepare", {"VIDEO": pieces}, {})))
    assert triton.calls == []
