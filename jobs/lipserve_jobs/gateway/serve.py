"""A gateway process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from lipserve import memory
from lipserve.errors import SetupError
from lipserve_jobs.gateway.app import create_app
from lipserve_jobs.gateway.settings import Settings


class _Server(uvicorn.Server):
    """A server whose streams of events end as soon as it is to end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        service = getattr(self.config.app.state, "service", None)  # type: ignore[union-attr]
        if service is not None:
            service.stopping.set()
        super().handle_exit(sig, frame)


def _sockets(settings: Settings) -> list[socket.socket] | None:
    """Return what listens on both ports, where there are two; None: the server opens its own."""
    if settings.metrics_port is None:
        return None
    six = ":" in settings.host
    kind: dict[str, Any] = {
        "family": socket.AF_INET6 if six else socket.AF_INET,
        "dualstack_ipv6": six and socket.has_dualstack_ipv6(),
    }
    found = []
    for port in (settings.port, settings.metrics_port):
        try:
            found.append(socket.create_server((settings.host, port), backlog=2048, **kind))
        except OSError as error:
            raise SetupError(
                f"The gateway cannot listen on {settings.host} port {port} ({error.strerror}).",
                "Give another port.",
            ) from error
    return found


def serve(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; then bodies that are open have `drain_seconds` to end.

    Raises:
        ConnectError: NATS does not answer. SetupError: the tenants, the store or the port cannot be used.
    """
    memory.return_blocks()  # parts of files come and go
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
        backlog=2048,
    )
    server = _Server(config, ready)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(_sockets(settings)))
    except (SystemExit, KeyboardInterrupt):
        pass  # it could not start, or it was told to end, and has
    if not server.started:
        raise getattr(app.state, "failure", None) or SetupError(
            f"The gateway cannot listen on {settings.host} port {settings.port}.", "Give another port."
        )
