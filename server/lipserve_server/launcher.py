"""The embedded server: a real Triton on this machine's loopback, for laptops, tests and CI."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType

from rich.logging import RichHandler
from tritonclient.utils import InferenceServerException

from lipserve.contracts import FACE_DETECTOR, FACE_LANDMARKS, TIERS, Model, Tier, of_tier
from lipserve.errors import SetupError
from lipserve_server import shm, triton
from lipserve_server.control import ModelControl
from lipserve_server.leaves import THREADS
from lipserve_server.log import TritonLog, to_file
from lipserve_server.repository import assemble, held_tiers, missing_leaves
from lipserve_server.supervisor import Supervisor

_FACES = {FACE_DETECTOR.name, FACE_LANDMARKS.name}
DEFAULT_REPOSITORY = Path("build/model_repository")
_logger = logging.getLogger("lipserve.server")


class EmbeddedServer:
    """A Triton that serves `repository`, from entering this context to leaving it.

    Args:
        repository: exported graphs (`<leaf>/1/model.onnx`); configuration and adapters are laid over it.
        grpc_port, metrics_port: on 127.0.0.1; 0 picks a free one.
        log_file: everything that the server tells is appended here.
        trace_url: of an OTLP/HTTP collector (http://HOST:PORT/v1/traces): it gets the spans of every request
            while it listens.
        leaf_threads: threads of each leaf model: 1 serves several requests best, more a single one soonest.
        ready_timeout: seconds until every model must be loaded.
        exit_timeout: seconds that accepted requests are given to finish when it stops.

    Start it from a thread that outlives it: the server ends with that thread.

    Raises:
        SetupError: a file, a package or a library is missing, a port is taken, or the server does not start.
    """

    def __init__(
        self,
        repository: Path,
        grpc_port: int = 8001,
        metrics_port: int = 8002,
        *,
        log_file: Path | None = None,
        trace_url: str | None = None,
        leaf_threads: int = 1,
        ready_timeout: float = 180.0,  # the quality tier at full width is gigabytes to read
        exit_timeout: float = 120.0,
    ) -> None:
        self.repository = repository.resolve()
        self._ports = (grpc_port, metrics_port)
        self._log_file = log_file
        self._trace_url = _checked(trace_url)
        if leaf_threads < 1:
            raise SetupError(f"leaf_threads={leaf_threads} runs nothing.", "Give 1 or more.")
        self._leaf_threads = leaf_threads
        self._ready_timeout = ready_timeout
        self.exit_timeout = exit_timeout
        self._logger = logging.getLogger(f"lipserve.server.{secrets.token_hex(2)}")
        self._log = TritonLog(self._logger)
        self._cleanup = contextlib.ExitStack()
        self._models: tuple[Model, ...] = ()
        self._process: subprocess.Popen[str] | None = None
        self._control: ModelControl | None = None
        self._supervisor: Supervisor | None = None

    @property
    def url(self) -> str:
        """Address for gRPC clients."""
        return f"{triton.HOST}:{self._ports[0]}"

    @property
    def metrics_url(self) -> str:
        return f"http://{triton.HOST}:{self._ports[1]}/metrics"

    @property
    def pid(self) -> int:
        """Process id of the tritonserver."""
        assert self._process is not None, "the server is not started"
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code of a server that has ended by itself, or None."""
        return self._process.poll() if self._process else None

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        return self._log.tail()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, and return when every model is loaded."""
        started = time.monotonic()
        tiers = held_tiers(self.repository)
        installation = triton.find()
        self._ports = _free_ports(*self._ports)
        self._models = assemble(self.repository)
        self._tell_of_incomplete_tiers(tiers)
        shm.sweep_stale()
        try:
            admin_key = self._launch(installation)
            self._wait_ready(started + self._ready_timeout, admin_key)
        except BaseException:
            self.stop(force=True)
            raise
        self._logger.info("Ready at %s after %.1f s.", self.url, time.monotonic() - started)

    def stop(self, force: bool = False) -> bool:
        """Answer what was accepted, end the server and leave nothing behind.

        Return whether every accepted request was answered within `exit_timeout`; `force` does not wait for
        any. Stopping again does nothing.
        """
        drained = True
        if self._process is not None:
            if not force:
                drained = self._drain()
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(triton.EXIT_SECONDS + 4)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # the models' processes may outlive it
            self._process.wait()
            self._process = None
        self._cleanup.close()
        return drained

    def _drain(self) -> bool:
        if self._supervisor is not None:
            self._supervisor.stop()
        return self._control is not None and self._control.drain(self.exit_timeout)

    def _launch(self, installation: triton.Installation) -> str:
        prefix = shm.new_prefix()
        folder = _temporary_folder(prefix)
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        self._cleanup.callback(shm.sweep, prefix)
        if self._log_file is not None:
            handler = to_file(self._log_file)
            self._logger.setLevel(logging.DEBUG)
            self._logger.addHandler(handler)
            self._cleanup.callback(handler.close)
            self._cleanup.callback(self._logger.removeHandler, handler)
        settings = triton.Settings(
            repository=self.repository,
            models=tuple(model.name for model in self._models),
            backends=installation.link_backend(folder),
            grpc_port=self._ports[0],
            metrics_port=self._ports[1],
            admin_key=secrets.token_hex(16),
            shm_prefix=prefix,
            trace_url=self._trace_url,
        )
        line = triton.command(installation.binary, settings)
        process = triton.start(line, os.getpid(), {**os.environ, THREADS: str(self._leaf_threads)})
        self._process = process
        pump = threading.Thread(target=self._log.pump, args=(process.stdout,), daemon=True)
        pump.start()
        if process.stdout is not None:
            self._cleanup.callback(process.stdout.close)
        self._cleanup.callback(pump.join)
        return settings.admin_key

    def _tell_of_incomplete_tiers(self, held: tuple[Tier, ...]) -> None:
        """Warn where a tier is exported in part: nobody leaves it so on purpose."""
        for tier in TIERS:
            missing = missing_leaves(self.repository, tier)
            own = {model.name for model in of_tier(tier) if model.kind == "leaf"}
            if tier not in held and set(missing) != own - _FACES:
                self._logger.warning("The tier %s is not served: no %s.", tier, ", no ".join(missing))

    def _wait_ready(self, deadline: float, admin_key: str) -> None:
        while not _accepts(self._ports[0]):  # it listens when it has loaded its models
            if self.poll() is not None or time.monotonic() > deadline:
                raise self._failed()
            time.sleep(0.05)
        self._control = ModelControl(self.url, admin_key, self._models)
        self._cleanup.callback(self._control.close)
        while not _is_ready(self._control):
            if self.poll() is not None or time.monotonic() > deadline:
                raise self._failed()
            time.sleep(0.05)
        self._supervisor = Supervisor(self.pid, self._control, self._logger)
        self._supervisor.start()
        self._cleanup.callback(self._supervisor.stop)

    def _failed(self) -> SetupError:
        code = self.poll()
        how = f"did not become ready within {self._ready_timeout:g} s" if code is None else f"ended ({code})"
        return SetupError(f"The embedded Triton {how}.", f"The end of its log:\n{self.log_tail()}")


def _checked(trace_url: str | None) -> str | None:
    """Return the address, or raise where it is none: Triton would start, and send its spans nowhere."""
    if trace_url is not None and not re.fullmatch(r"https?://[^\s/]+/\S*", trace_url):
        raise SetupError(
            f"{trace_url!r} is not the address of a trace collector.",
            "Give one such as http://127.0.0.1:4318/v1/traces.",
        )
    return trace_url


def _temporary_folder(prefix: str) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise SetupError(
            f"No temporary directory can be made: {error}.",
            "Free some space, or set TMPDIR to another place.",
        ) from error


def _free_ports(*ports: int) -> tuple[int, int]:
    """Return the ports, each 0 replaced by a free one, or raise where one is taken."""
    chosen = []
    with contextlib.ExitStack() as held:
        for port in ports:
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((triton.HOST, port))
            except OSError as error:
                raise SetupError(
                    f"Port {port} of {triton.HOST} cannot be had: {error.strerror}.",
                    "Stop what listens there, or choose another port (0 picks a free one).",
                ) from error
            chosen.append(int(probe.getsockname()[1]))
    return chosen[0], chosen[1]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((triton.HOST, port)) == 0


def _is_ready(control: ModelControl) -> bool:
    try:
        return control.ready()
    except InferenceServerException:
        return False


def serve(
    repository: Path | None = None,
    grpc_port: int = 8001,
    metrics_port: int = 8002,
    *,
    log_file: Path | None = None,
    trace_url: str | None = None,
    leaf_threads: int = 1,
) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit code of the process.

    The first signal lets accepted requests finish, a second one does not. A Triton that ends by itself is
    not started again: 1 is returned, and whoever runs this command decides.
    """
    _log_to_terminal()
    server = EmbeddedServer(
        repository or DEFAULT_REPOSITORY,
        grpc_port,
        metrics_port,
        log_file=log_file,
        trace_url=trace_url,
        leaf_threads=leaf_threads,
    )
    previous = {name: signal.signal(name, _interrupt) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        try:
            return _serve(server)
        except KeyboardInterrupt:
            _logger.info("Stopping: accepted requests are answered first (once more: stop at once).")
            if server.stop():
                _logger.info("Stopped.")
                return 0
            _logger.error("Some accepted requests were not answered within %g s.", server.exit_timeout)
            return 1
    except KeyboardInterrupt:
        _logger.warning("Stopped at once.")
        return 1
    finally:
        server.stop(force=True)
        for name, handler in previous.items():
            signal.signal(name, handler)


def _serve(server: EmbeddedServer) -> int:
    server.start()
    _logger.info("gRPC %s, metrics %s. Ctrl-C stops it.", server.url, server.metrics_url)
    while server.poll() is None:
        time.sleep(0.2)
    _logger.error("The embedded Triton ended by itself (%s).\n%s", server.poll(), server.log_tail())
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _log_to_terminal() -> None:
    _logger.setLevel(logging.INFO)
    if not _logger.handlers:
        handler = RichHandler(show_path=False, log_time_format="%H:%M:%S")
        handler.setLevel(logging.INFO)
        _logger.addHandler(handler)
