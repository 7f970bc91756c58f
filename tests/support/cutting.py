"""A way to a server that can be cut: what passes is counted, and a connection ends where a test wants it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the end of a connection is a reset


class Cutting:
    """Passes TCP connections on to a port of this machine.

    Args:
        port: where they go.

    Attributes:
        url: where they come in.
        connections: how many have come. sent, received: bytes that have passed, to the server and from it.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = self.sent = self.received = 0
        self._to_server: int | None = None
        self._to_client: int | None = None
        self._cuts = 0
        self._is_away = False
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    def cut(self, *, sent: int | None = None, received: int | None = None, times: int = 1) -> None:
        """End a connection by a reset, so often, when so many bytes of it have passed."""
        self._to_server, self._to_client, self._cuts = sent, received, times

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """End all connections, and answer nobody: the server has died."""
        self._is_away = True
        self._end_all()
        try:
            yield
        finally:
            self._is_away = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()
        for thread in self._threads:
            thread.join(10)

    def _end_all(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._is_away:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._start(self._carry, client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            self._open |= {client, server}
            up = threading.Thread(target=self._pass, args=(client, server, True))
            up.start()
            self._pass(server, client, False)
            up.join()
            self._open -= {client, server}

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                bound = self._to_server if up else self._to_client
                if bound is not None and self._cuts and passed + len(data) > bound:
                    self._cuts -= 1
                    target.sendall(data[: max(0, bound - passed)])
                    if up:  # the server may read what has come: a reset would take what it has not read yet
                        target.shutdown(socket.SHUT_WR)
                        _reset(source)
                    else:
                        _reset(source, target)
                    return
                target.sendall(data)
                passed += len(data)
                if up:
                    self.sent += len(data)
                else:
                    self.received += len(data)
        for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                end.shutdown(how)


def _reset(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.shutdown(socket.SHUT_RDWR)
