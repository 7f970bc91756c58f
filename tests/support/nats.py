"""Real NATS servers, alone or three that keep everything three times."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from sys import executable
from typing import Self

from tests.support.ports import free_port
from tests.support.waiting import until

NATS_SERVER = Path(executable).parent / "nats-server"


class NatsServer:
    """A server with JetStream on a port and a folder of its own, which it keeps when it is started again.

    Args:
        arguments: more of them, such as those of a cluster.
    """

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.folder, self.port = folder, free_port("127.0.0.1")
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return when it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    NATS_SERVER,
                    *("--addr", "127.0.0.1", "--port", str(self.port)),
                    *("--jetstream", "--store_dir", self.folder),
                    *self._arguments,
                ],
                stdout=log,
                stderr=log,
            )
        until(self._listens, lambda: f"NATS listens: {(self.folder / 'log').read_text()}")
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            return probe.recv(4) == b"INFO"
        return False

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it, and start it on the same folder and port."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def three_servers(folder: Path) -> Iterator[list[NatsServer]]:
    """Give three servers that are one cluster."""
    ports = [free_port("127.0.0.1") for _ in range(3)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    with contextlib.ExitStack() as running:
        servers = []
        for number, port in enumerate(ports):
            cluster = ("--cluster_name", "three", "--cluster", f"nats://127.0.0.1:{port}", "--routes", routes)
            server = NatsServer(folder / str(number), (*cluster, "--name", f"server-{number}"))
            servers.append(running.enter_context(server))
        yield servers
