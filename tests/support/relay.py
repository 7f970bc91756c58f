"""A line between a client and a server of this machine, which a test cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.support.ports import free_port

_CHUNK = 65_536


class Relay:
    """Hands on what comes to its port, both ways.

    Args:
        port: of the server.

    Attributes:
        reached: set when as much has been sent to the server as `stop_after` lets through.
    """

    def __init__(self, port: int) -> None:
        self.port, self._server = free_port("127.0.0.1"), port
        self.reached = threading.Event()
        self._left: int | None = None
        self._cutting = self._is_cut = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop_after(self, size: int, cut: bool) -> None:
        """Let so many bytes through to the server, from now on.

        Args:
            cut: then all connections end, and no other begins until `mend`. Otherwise the one connection that
                sent them stalls until the client leaves it.
        """
        self._left, self._cutting = size, cut

    def mend(self) -> None:
        """Take connections again."""
        self._is_cut = False

    def _take(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._server))
            with self._lock:
                self._open |= {client, server}
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, upward: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sent = self._let(len(data)) if upward else len(data)
                target.sendall(data[:sent])
                if sent == len(data):
                    continue
                self.reached.set()
                if self._cutting:
                    self._is_cut = True
                    self._end_all()
                while source.recv(_CHUNK):  # it stalls
                    pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _let(self, size: int) -> int:
        with self._lock:
            if self._left is None or size < self._left:
                self._left = self._left and self._left - size
                return size
            left, self._left = self._left, None
            return left - 1

    def _end_all(self) -> None:
        with self._lock:
            ending, self._open = self._open, set()
        for end in ending:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()
