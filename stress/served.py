"""A server in a process of its own, so that the memory that is looked at is the server's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from lipserve.errors import SetupError
from lipserve_server.launcher.embedded import EmbeddedServer


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        url: HOST:PORT.
        pid: of the launcher, whose process is the guard's too; Triton and the stages are below it.
    """

    url: str
    pid: int


@contextmanager
def served(repository: Path, log_file: Path) -> Iterator[Served]:
    """Serve a repository inside the block; SetupError where that cannot be."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, repository, log_file))
    process.start()
    there.close()
    try:
        told = here.recv()
        if not isinstance(told, str):
            raise SetupError(*told)
        yield Served(told, process.pid or 0)
    finally:
        here.close()  # which ends the server
        process.join()


def _serve(there: Connection, repository: Path, log_file: Path) -> None:
    """Serve until the other end is closed; what is told there is the address, or why there is none."""
    try:
        with (
            EmbeddedServer(repository, 0, 0, log_file=log_file) as server,
            suppress(EOFError, KeyboardInterrupt),
        ):
            there.send(server.url)
            there.recv()
    except SetupError as error:
        there.send((error.message, error.remedy))
