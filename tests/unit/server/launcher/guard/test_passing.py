"""How a call of Triton's that fails comes back to the caller."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lipserve.errors import ProcessDiedError
from lipserve_server.launcher.guard.passing import end_as, is_starved

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS = 1, 4  # kinds of frames


class AbortedError(Exception):
    pass


class Context:
    """Keeps what a call is ended with."""

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        raise AbortedError(code, text)


def failure(address: str) -> Any:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=30)
    return caught.value


def test_a_triton_that_has_ended_is_no_full_memory_and_its_socket_is_not_named(tmp_path: Path) -> None:
    """The folder of the socket begins as the names of the shared memory do."""
    error = failure(f"unix:{tmp_path}/lipserve_server_12_0a1b2c3d_x/triton")
    assert "lipserve_server_12" in str(error.details())
    assert not is_starved(error)
    with pytest.raises(AbortedError) as caught:
        end_as(Context(), error, ProcessDiedError)  # type: ignore[arg-type]
    code, text = caught.value.args
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "[lipserve:unavailable] Triton has ended. Try again in a few seconds."


@pytest.fixture
def cut_off() -> Iterator[Any]:
    """What a call comes back with whose server ends while it is at work."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def end() -> None:
            accepted, _ = listening.accept()
            with accepted, accepted.makefile("rb") as stream:
                accepted.sendall(bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]))
                stream.read(len(PREFACE))
                kind = None
                while kind != HEADERS:  # with them the call begins
                    head = stream.read(9)
                    kind = head[3]
                    stream.read(int.from_bytes(head[:3], "big"))

        server = threading.Thread(target=end)
        server.start()
        yield failure(f"127.0.0.1:{listening.getsockname()[1]}")
        server.join()


def test_a_request_that_triton_ended_with_is_told_from_other_calls(cut_off: Any) -> None:
    with pytest.raises(AbortedError, match=r"\[lipserve:process_died\] Triton has ended"):
        end_as(Context(), cut_off, ProcessDiedError)  # type: ignore[arg-type]
    with pytest.raises(AbortedError, match=r"\[lipserve:unavailable\] Triton has ended"):
        end_as(Context(), cut_off)  # type: ignore[arg-type]
