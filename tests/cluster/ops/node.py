"""A stand-in for a node: real processes of this machine are the pods' containers, and no container runs.

It does what a kubelet does for `lipserve ops`: it ends port-forwards at the processes' ports, and gives what
they write as logs.
"""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_BINARY, _CLOSE = 2, 8


class Server(ThreadingHTTPServer):
    """Serves HTTPS on a free port of 127.0.0.1, from entering its context to leaving it."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a peer that hangs up
            super().handle_error(request, address)


class Handler(BaseHTTPRequestHandler):
    """A handler of `Server`: the handshake is made in its own thread, and nothing is logged."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@dataclass
class Log:
    """What a container has written."""

    lines: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def read(self, process: subprocess.Popen[bytes]) -> int:
        """Take all that a process writes, and return its exit code."""
        assert process.stdout is not None
        with process.stdout:
            self.lines.extend(process.stdout)
        code = process.wait()
        self.ended.set()
        return code


@dataclass
class Node:
    """Where the pods' processes are: ports of 127.0.0.1 by (pod, port), logs by (pod, container).

    The pod "*" is any that has none of its own.
    """

    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    logs: dict[tuple[str, str], Log] = field(default_factory=dict)

    def send_log(self, handler: BaseHTTPRequestHandler, pod: str, container: str) -> None:
        """Answer with a container's lines, and with those that are still to come until it ends."""
        log, sent = self.logs.get((pod, container)) or self.logs["*", container], 0
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        handler.end_headers()
        while True:
            ended = log.ended.is_set()
            for line in log.lines[sent:]:
                handler.wfile.write(line)
                sent += 1
            handler.wfile.flush()
            if ended:
                break
            time.sleep(0.05)
        handler.close_connection = True

    def _port(self, pod: str, port: int) -> int:
        return self.ports.get((pod, port)) or self.ports.get(("*", port)) or 9

    def forward(self, handler: BaseHTTPRequestHandler, pod: str, port: int) -> None:
        """Speak the websocket form of a port-forward, channels 0 (data) and 1 (errors), for one port."""
        key = handler.headers["Sec-WebSocket-Key"].encode()
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
        )
        handler.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        handler.end_headers()
        handler.close_connection = True
        client = handler.connection
        for channel in (0, 1):
            client.sendall(_frame(bytes([channel]) + struct.pack("<H", port)))
        try:
            target = socket.create_connection(("127.0.0.1", self._port(pod, port)), timeout=5)
        except OSError as error:
            client.sendall(_frame(b"\1" + f"failed to connect to {port}: {error}".encode()))
            return
        with target:
            _relay(client, target)


def _relay(client: Any, target: socket.socket) -> None:
    """Carry bytes both ways until one side has ended; `client` is a TLS socket, which one thread may use."""
    received = b""
    while True:
        ready = [client] if client.pending() else select.select([client, target], [], [], 30)[0]
        if not ready:
            return
        if target in ready:
            data = target.recv(1 << 16)
            if not data:
                client.sendall(_frame(b"", _CLOSE))
                return
            client.sendall(_frame(b"\0" + data))
        if client in ready:
            data = client.recv(1 << 16)
            if not data:
                return
            received += data
            while (found := _parse(received)) is not None:
                kind, payload, received = found
                if kind == _CLOSE:
                    return
                if kind == _BINARY and payload[:1] == b"\0":
                    target.sendall(payload[1:])


def _frame(payload: bytes, kind: int = _BINARY) -> bytes:
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | kind, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | kind, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | kind, 127, size)
    return head + payload


def _parse(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return kind, payload and rest of a client's first frame; None where it is not complete."""
    if len(data) < 2:
        return None
    kind, size, at = data[0] & 0x0F, data[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(data) < at + width:
            return None
        size, at = int.from_bytes(data[at : at + width], "big"), at + width
    if len(data) < at + 4 + size:
        return None
    mask, payload = data[at : at + 4], data[at + 4 : at + 4 + size]
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    plain = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return kind, plain, data[at + 4 + size :]
