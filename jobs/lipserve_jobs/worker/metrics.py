"""What a worker counts, and the port that tells it."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

STEPS = Counter("lipserve_jobs_steps", "Steps of jobs, by how they ended", ["step", "outcome"])
STEP_SECONDS = Histogram(
    "lipserve_jobs_step_seconds",
    "Time of a step that ended well, its waiting for servers included",
    ["step"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 600),
)
for _step in ("plan", "piece", "join", "sheet", "expand"):  # from the start: a first one counts, too
    STEPS.labels(_step, "ok")
    STEP_SECONDS.labels(_step)
BUSY = Gauge("lipserve_jobs_worker_busy", "Steps that this worker is at")
PLACES = Gauge("lipserve_jobs_worker_places", "Steps that this worker takes at once")
FETCHED = Counter("lipserve_jobs_fetched_bytes", "Bytes of files from addresses that callers named")
_FREE = Gauge("lipserve_storage_free_bytes", "Free space of a folder's file system", ["path"])
_SIZE = Gauge("lipserve_storage_size_bytes", "Size of a folder's file system", ["path"])


class _Server(ThreadingHTTPServer):
    """Listens on all addresses, of both kinds where the machine has both."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


@contextmanager
def told(port: int, scratch: Path, turning: Callable[[], bool]) -> Iterator[None]:
    """Answer /metrics, and /healthz (200 while `turning()`, else 503), on all addresses of this machine."""
    _FREE.labels(str(scratch)).set_function(lambda: shutil.disk_usage(scratch).free)
    _SIZE.labels(str(scratch)).set_function(lambda: shutil.disk_usage(scratch).total)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = self._answer()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def _answer(self) -> tuple[int, bytes]:
            if self.path == "/metrics":
                return 200, generate_latest()
            if self.path != "/healthz":
                return 404, b"not found"
            return (200, b"ok") if turning() else (503, b"the worker takes no steps")

        def log_message(self, *_: object) -> None:
            """Say nothing of requests."""

    with _Server(("", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
