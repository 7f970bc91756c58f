"""A network between clients and an Envoy that is as slow as a test wants it."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class _Gate:
    """What one client sends passes here."""

    open: threading.Event = field(default_factory=threading.Event)
    waiting: bool = False  # whether something has come that may not pass

    def passed(self) -> None:
        """Return once what has come may go on."""
        self.waiting = not self.open.is_set()
        self.open.wait()
        self.waiting = False


class Relay:
    """A TCP relay on loopback. What clients send waits in it while it holds; answers always pass.

    Args:
        url: of the server, host:port.

    Attributes:
        url: its own.
    """

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition(":")
        self._server = (host, int(port))
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._door.getsockname()[1]}"
        self._gates: list[_Gate] = []
        self._sockets = [self._door]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def hold(self) -> None:
        """From now on nothing that clients send passes; connections that are still to come are free."""
        for gate in self._gates:
            gate.open.clear()

    def waiting(self) -> int:
        """Return on how many connections something has come that may not pass."""
        return sum(gate.waiting for gate in self._gates)

    def release(self) -> None:
        for gate in self._gates:
            gate.open.set()

    def close(self) -> None:
        """End every connection."""
        _shut(self._door)
        self._threads[0].join()
        self.release()
        for end in self._sockets:
            _shut(end)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the door is shut
            while True:
                client, _ = self._door.accept()
                self._sockets.append(client)
                server = socket.create_connection(self._server)
                self._sockets.append(server)
                gate, free = _Gate(), _Gate()
                gate.open.set()
                free.open.set()
                self._gates.append(gate)
                for way in ((client, server, gate), (server, client, free)):
                    self._threads.append(threading.Thread(target=_pump, args=way))
                    self._threads[-1].start()


def _pump(source: socket.socket, sink: socket.socket, gate: _Gate) -> None:
    """Pass on what `source` says until either ends, then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            gate.passed()
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        end.shutdown(socket.SHUT_RDWR)
