"""The health port: /livez, /readyz and /metrics over HTTP, for the kubelet and Prometheus."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, Self

from lipserve.errors import SetupError
from lipserve_server.launcher.addresses import family

_TIMEOUT = 10.0  # seconds for a peer to send its request
_POLL_SECONDS = 0.05  # how often it looks whether it has to end


class HealthSource(Protocol):
    """The state that the health port reports."""

    def liveness_problems(self) -> list[str]:
        """Return the reasons to restart the process; empty: /livez succeeds."""

    def readiness_problems(self) -> list[str]:
        """Return the reasons to send no requests here; empty: /readyz succeeds."""

    def page(self) -> str:
        """Return the metrics in Prometheus' text format."""


class HealthPort:
    """Answers on `host:port` from entering this context to leaving it.

    Args:
        port: 0 picks a free one.

    Raises:
        SetupError: the port cannot be opened.
    """

    def __init__(self, host: str, port: int, source: HealthSource) -> None:
        handler = type("Handler", (_Handler,), {"source": source, "timeout": _TIMEOUT})
        server = type("Server", (ThreadingHTTPServer,), {"address_family": family(host)})
        try:
            self._server: ThreadingHTTPServer = server((host, port), handler)
        except OSError as error:
            raise SetupError(
                f"Port {port} of {host} cannot be opened: {error.strerror}.",
                "Stop the program that listens there, or choose another port with --health-port.",
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="lipserve-health"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    source: HealthSource
    server_version = "lipserve"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, self.source.page(), "text/plain; version=0.0.4; charset=utf-8")
        elif path in ("/livez", "/readyz"):
            reasons = (
                self.source.liveness_problems() if path == "/livez" else self.source.readiness_problems()
            )
            self._send(503 if reasons else 200, "".join(f"{line}\n" for line in reasons or ["ok"]))
        else:
            self._send(404, "Ask for /livez, /readyz or /metrics.\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass  # a line for every probe tells nothing

    def _send(self, status: int, body: str, kind: str = "text/plain; charset=utf-8") -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
