"""How a launcher reaches its own server."""

from __future__ import annotations

import socket
import threading

import pytest
from tritonclient.utils import InferenceServerException

from lipserve_server.launcher.control import ModelControl


def test_a_control_connection_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        came: list[bytes] = []

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                came.append(connection.recv(14))

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        control = ModelControl(f"127.0.0.1:{server.getsockname()[1]}", "key", (), 1.0)
        with pytest.raises(InferenceServerException):  # it is hung up on
            control.client.is_server_live(client_timeout=5.0)
        control.close()
        accepting.join(5)
        assert came == [b"PRI * HTTP/2.0"]
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
