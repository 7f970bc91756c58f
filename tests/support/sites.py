"""Web servers of others: what they are asked, and answers that tests write."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Headers = dict[str, str]


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass
class Site:
    """A web server on an address of this machine.

    Args:
        answer: is given each request, and an open answer to write into.
        tls: None: plain HTTP.
    """

    answer: Callable[[Asked, Answer], None]
    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                came = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                site.asked.append(came)
                self.close_connection = True
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    site.answer(came, Answer(self, site.closing))

            do_GET = do_PUT = do_POST = _serve  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that leaves, or does not trust the certificate

        self.closing = threading.Event()
        self._server = Server((self.address, 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def url(self, path: str = "/") -> str:
        return f"http{'s' if self.tls else ''}://{self.address}:{self.port}{path}"


class Answer:
    """An answer that is being written.

    Attributes:
        closing: set when the site is about to close: whoever never answers waits for it.
    """

    def __init__(self, handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        self._handler, self.closing = handler, closing

    def head(self, status: int, **headers: str) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def whole(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.head(status, Content_Length=str(len(body)), **headers)
        self.write(body)
