"""Servers that tests start: one of this process, `lipserve serve`, `lipserve pod`, and a plain Triton."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from lipserve_server.inside import shm
from lipserve_server.launcher import triton
from lipserve_server.launcher.embedded import EmbeddedServer
from tests.support.pages import Page
from tests.support.processes import Program, Word, cpu_seconds, session
from tests.support.programs import LIPSERVE
from tests.support.waiting import until


def port_of(url: str) -> int:
    """Return the port of HOST:PORT or of http://HOST:PORT/PATH."""
    return int(url.removeprefix("http://").partition("/")[0].rpartition(":")[2])


@dataclass(frozen=True)
class RunningServer:
    """A server of this process that is ready, and how many seconds of a core its start took."""

    server: EmbeddedServer
    log: Path
    start_cpu_seconds: float

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def metrics_url(self) -> str:
        return self.server.metrics_url

    @property
    def pid(self) -> int:
        """Process id of its Triton, which is another one after that was started anew."""
        return self.server.pid

    @property
    def page(self) -> Page:
        """Triton's own metrics."""
        return Page(port_of(self.metrics_url))

    def metrics(self) -> dict[str, float]:
        """Return the samples of the metrics page by their name and labels."""
        return self.page.metrics()

    def in_flight(self, stage: str = "") -> float:
        """Return how many segments a stage (or all of them) works on, over its processes."""
        return self.page.in_flight(**{"stage": stage} if stage else {})


@contextlib.contextmanager
def serve(
    repository: Path, log: Path, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[RunningServer]:
    """Serve on free ports from entering this context to leaving it.

    Args:
        environment: added to the server's.
        options: of `EmbeddedServer`.
    """
    log.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            server = stack.enter_context(EmbeddedServer(repository, 0, 0, log_file=log, **options))
        yield RunningServer(server, log, cpu_seconds(server.pid))


class ServeProgram(Program):
    """A `lipserve serve` that is ready: where it is called, and the process of its first Triton.

    Args:
        arguments: of `lipserve serve`.
        ports: of gRPC and metrics; 0 picks a free one.
        before: of its command line.
    """

    def __init__(
        self, repository: Path, *arguments: Word, ports: tuple[int, int] = (0, 0), before: Sequence[Word] = ()
    ) -> None:
        own = ["--grpc-port", str(ports[0]), "--metrics-port", str(ports[1]), *arguments]
        super().__init__([*before, LIPSERVE, "serve", "--repository", repository, *own], COLUMNS="200")
        try:
            self.url, self.metrics_url = self.find(r"gRPC (\S+), metrics (\S+)\. ").groups()
            self.first_triton = self.triton
        except BaseException:
            super().close()
            raise

    def in_flight(self) -> float:
        """Return how many segments its stages work on."""
        return Page(port_of(self.metrics_url)).in_flight()

    def left(self) -> list[str]:
        """Return what is left of it: processes, shared memory, temporary directories."""
        alive = [f"process {pid}" for pid in session(self.first_triton)]
        name = f"lipserve_server_{self.process.pid}_*"
        places = (Path("/dev/shm"), Path(tempfile.gettempdir()))
        return alive + [str(path) for place in places for path in place.glob(name)]

    def close(self) -> None:
        """End it at once, and the processes of its first Triton."""
        self.process.kill()
        for pid in session(self.first_triton):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        super().close()


class PodProgram(Program):
    """A `lipserve pod` of the profile embedded, on free ports of loopback where its arguments say no other.

    Args:
        arguments: of `lipserve pod`.
        before: of its command line.
        host: whose ports it opens.
    """

    def __init__(
        self, store: Path, work: Path, *arguments: Word, before: Sequence[Word] = (), host: str = "127.0.0.1"
    ) -> None:
        self._host = host
        own = ["--profile=embedded", "--grpc-port=0", "--metrics-port=0", "--health-port=0", f"--host={host}"]
        super().__init__([*before, LIPSERVE, "pod", "--repository", store, "--work", work, *own, *arguments])

    @property
    def health(self) -> Page:
        """Its health port, as soon as that is open."""
        return Page(int(self.find(r"Health and metrics on port (\d+)")[1]), self._host)

    @property
    def url(self) -> str:
        """Where it is called, as soon as it is ready."""
        return self.find(r"gRPC (\S+), metrics ")[1]

    @property
    def page(self) -> Page:
        """Triton's own metrics, as soon as it is ready."""
        return Page(int(self.find(r"metrics http://\S+:(\d+)/metrics")[1]), self._host)

    def is_ready(self) -> bool:
        return self.health.get("/readyz")[0] == 200


class PlainTriton:
    """A Triton with one model of its Python backend, started without a launcher.

    Args:
        folder: for its repository.
        name, configuration, code: of the model: its name, config.pbtxt and model.py.
        url: HOST:PORT where it is called.
        flags: more of its command line.
    """

    def __init__(self, folder: Path, name: str, configuration: str, code: str, url: str, *flags: str) -> None:
        self.url = url
        model = folder / "repository" / name
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(configuration)
        (model / "1" / "model.py").write_text(code)
        installation, (host, _, port) = triton.find(), url.partition(":")
        self._prefix = shm.new_prefix()
        command = [
            str(installation.binary),
            f"--model-repository={model.parent}",
            "--model-control-mode=explicit",
            f"--load-model={name}",
            f"--backend-directory={installation.link_backend(folder)}",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            "--allow-http=false",
            "--allow-metrics=false",
            f"--grpc-address={host}",
            f"--grpc-port={port}",
            *flags,
        ]
        self._process = triton.start(command, os.getpid(), os.environ)
        self.log: list[str] = []
        self._reader = threading.Thread(target=lambda: self.log.extend(self._process.stdout or ()))
        self._reader.start()

    def wait(self, is_ready: Callable[[], bool]) -> None:
        """Wait until it is ready; the test fails where it ends before that."""

        def looks() -> bool:
            assert self._process.poll() is None, "".join(self.log[-20:])
            with contextlib.suppress(InferenceServerException):
                return is_ready()
            return False

        until(looks, lambda: "".join(self.log[-20:]))

    def close(self) -> None:
        """End it at once: nothing is under way, and its own end takes seconds."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        shm.sweep(self._prefix)
