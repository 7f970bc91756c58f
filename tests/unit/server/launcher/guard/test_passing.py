"""How a call of Triton's that fails comes back to the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from lipserve_server.launcher.guard.passing import end_as, is_starved


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
        end_as(Context(), error)  # type: ignore[arg-type]
    code, text = caught.value.args
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "[lipserve:process_died] Triton has ended. Try again in a few seconds."
