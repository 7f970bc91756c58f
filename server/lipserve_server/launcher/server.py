"""One supervised Triton: what the embedded server and the pod share."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lipserve.errors import SetupError
from lipserve_server.inside import callers, limits, shm
from lipserve_server.inside.callers import Callers
from lipserve_server.inside.leaves import THREADS
from lipserve_server.launcher import triton
from lipserve_server.launcher.addresses import HOST, bracketed, free_ports, reached_at
from lipserve_server.launcher.control import ModelControl
from lipserve_server.launcher.cores import cores_at_work
from lipserve_server.launcher.guard.admission import Admission
from lipserve_server.launcher.guard.audit import AuditLog
from lipserve_server.launcher.guard.clients import Usage
from lipserve_server.launcher.guard.guard import Door, Guard
from lipserve_server.launcher.guard.places import places
from lipserve_server.launcher.keeper import Keeper
from lipserve_server.launcher.log import TritonLog, to_file
from lipserve_server.launcher.options import Options
from lipserve_server.launcher.running import RunningTriton
from lipserve_server.launcher.supervisor import Supervisor
from lipserve_server.launcher.tls import credentials
from lipserve_server.repository.store import Assembly

_STARTS = 3  # Triton 24.10 now and then aborts where a slow machine loads many models (lock_exception)
_SEND_SECONDS = 5.0  # for the last answers to be read


class TritonServer(ABC):
    """A Triton that is started, supervised, and drained before it ends.

    Start it from a thread that outlives it: the server ends with that thread.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._ports = (options.grpc_port, options.metrics_port)
        self._logger = logging.getLogger(f"lipserve.server.{secrets.token_hex(2)}")
        self._log = TritonLog(self._logger)
        self._cleanup = contextlib.ExitStack()
        self._triton: RunningTriton | None = None
        self._guard: Guard | None = None
        self._keeper: Keeper | None = None
        self.supervisor: Supervisor | None = None

    @property
    def exit_timeout(self) -> float:
        return self.options.exit_timeout

    @property
    def _listening(self) -> str:
        """Address of the gRPC port: loopback where clients may register regions of its memory."""
        host = HOST if self.options.shared_memory else self.options.host
        return f"{bracketed(host)}:{self._ports[0]}"

    @property
    def url(self) -> str:
        """Address for gRPC clients of this machine."""
        host = HOST if self.options.shared_memory else reached_at(self.options.host)
        return f"{bracketed(host)}:{self._ports[0]}"

    @property
    def metrics_url(self) -> str:
        return f"http://{bracketed(reached_at(self.options.host))}:{self._ports[1]}/metrics"

    @property
    def pid(self) -> int:
        """Process id of the tritonserver."""
        return self._running.pid

    @property
    def admission(self) -> Admission:
        """The queue of the server that is ready."""
        assert self._guard is not None, "the server is not started"
        return self._guard.admission

    @property
    def refused(self) -> dict[str, int]:
        """Number of requests that the guard refused, by error code."""
        return dict(self._guard.refused) if self._guard else {}

    @property
    def usage(self) -> Mapping[str, Usage]:
        """What each client has had."""
        return self._guard.records.usage() if self._guard else {}

    @property
    def control(self) -> ModelControl:
        """Model control of the server that is ready."""
        return self._running.control

    @property
    def _running(self) -> RunningTriton:
        assert self._triton is not None, "the server is not started"
        return self._triton

    def poll(self) -> int | None:
        """Return the exit code of a server that has ended by itself and stays so, or None."""
        if self._triton is None or (self._keeper is not None and not self._keeper.gave_up):
            return None
        return self._triton.poll()

    def ended(self) -> bool:
        """Return whether Triton has ended, if only for now."""
        return self._running.poll() is not None

    def kept(self) -> int:
        """Return how many bytes of shared memory Triton keeps of processes that are gone."""
        return self._running.kept()

    def again(self) -> None:
        """Start Triton anew, on the same socket, behind the same guard; SetupError where it does not come."""
        assert self.supervisor is not None, "the server is not started"
        assert self._keeper is not None, "nobody keeps it"
        keeper, restarts = self._keeper, self.supervisor.restarts
        self.supervisor.stop()
        self._running.end()
        self._running.start(time.monotonic() + self.options.ready_timeout, lambda: keeper.resting)
        self._supervise(restarts)

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        return self._log.tail()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start the server, and return when it can be called."""

    def serve(
        self, installation: triton.Installation, assembly: Assembly, deadline: float | None = None
    ) -> None:
        """Start Triton on a repository, and return when every model is loaded.

        Args:
            deadline: of `time.monotonic`; None gives it `ready_timeout` from now.
        """
        started = time.monotonic()
        installation.check(self.options.profile)
        self._ports = free_ports(self.options.host, *self._ports)
        shm.sweep_stale()
        until = deadline or started + self.options.ready_timeout
        for left in reversed(range(_STARTS)):
            try:
                self._start(installation, assembly, until)
                break
            except BaseException as error:
                aborted = isinstance(error, SetupError) and self.poll() == -signal.SIGABRT
                self.stop(force=True)
                if not (aborted and left):
                    raise
            self._logger.warning("Triton aborted while it loaded its models: it is started again.")
        self._logger.info("Ready at %s after %.1f s.", self.url, time.monotonic() - started)

    def stop(self, force: bool = False) -> bool:
        """Answer what was accepted, end the server and leave nothing behind.

        Return whether every accepted request was answered within `exit_timeout`; `force` does not wait for
        any. Stopping again does nothing.
        """
        drained = True
        if self._keeper is not None:
            self._keeper.rest()
        if self._triton is not None:
            if not force:
                drained = self._drain()
            if self._guard is not None:
                self._guard.stop(0.0 if force else _SEND_SECONDS)
                self._guard = None
            # A collector waits for the last spans.
            self._triton.end(gently=self.options.trace_url is not None and not force)
            self._triton = None
        if self._keeper is not None:
            self._keeper.end()
            self._keeper = None
        self._cleanup.close()
        return drained

    def _drain(self) -> bool:
        """Refuse new requests, and return whether those that were accepted are answered in time."""
        deadline = time.monotonic() + self.exit_timeout
        if self._guard is not None:
            self._guard.admission.close()
        if self.supervisor is not None:
            self.supervisor.stop(self.exit_timeout)
        return self._guard is None or self._guard.admission.drained(deadline - time.monotonic())

    def _start(self, installation: triton.Installation, assembly: Assembly, deadline: float) -> None:
        """Start Triton and, once it is ready, the guard in front of it."""
        prefix = shm.new_prefix()
        folder = _temporary_folder(prefix)
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        self._log_to_file()
        door, waiting = self._door(), Callers(folder / "callers")
        settings = self._settings(installation, assembly, folder, prefix)
        told = {
            THREADS: str(self.options.leaf_threads),
            limits.VARIABLE: str(self.options.limits),
            callers.VARIABLE: str(waiting.folder),
        }
        seconds = self.options.ready_timeout
        control = ModelControl(settings.address, settings.admin_key, assembly.models, seconds)
        self._cleanup.callback(control.close)
        self._triton = RunningTriton(installation.binary, settings, told, control, self._log)
        self._triton.start(deadline)
        profile = self.options.profile
        leaves = {model.name for model in assembly.models if model.kind == "leaf"}
        admission = Admission(
            places(assembly.models, profile), self.options.limits, cores_at_work(profile), apart=leaves
        )
        self._guard = Guard(door, settings.address, admission, waiting, prefix, self._audit())
        self._guard.start()
        self._supervise(Counter())
        self._cleanup.callback(self._stop_supervisor)
        if self.options.comes_back:
            self._keeper = Keeper(self, admission, self._logger)
            self._keeper.start()

    def _supervise(self, restarts: Counter[str]) -> None:
        """Watch the Triton that has just been started."""
        assert self._guard is not None, "the server is not started"
        self.supervisor = Supervisor(
            self.pid,
            self.control,
            self.options.profile,
            self.admission,
            self._running.settings.shm_prefix,
            self._guard.starved,
            self._logger,
        )
        self.supervisor.restarts = restarts
        self.supervisor.start()

    def _stop_supervisor(self) -> None:
        if self.supervisor is not None:
            self.supervisor.stop()

    def _door(self) -> Door:
        tls = self.options.tls
        return Door(self._listening, credentials(tls) if tls else None, self.options.limits.message_mib)

    def _settings(
        self, installation: triton.Installation, assembly: Assembly, folder: Path, prefix: str
    ) -> triton.Settings:
        socket_name = folder / "grpc"
        triton.check_socket(socket_name)
        return triton.Settings(
            repository=triton.plain(assembly.repository, folder),
            models=tuple(model.name for model in assembly.models),
            backends=installation.link_backend(folder),
            socket=socket_name,
            metrics_port=self._ports[1],
            admin_key=secrets.token_hex(16),
            shm_prefix=prefix,
            trace_url=self.options.trace_url,
            host=self.options.host,
            profile=self.options.profile,
            shared_memory=self.options.shared_memory,
        )

    def _audit(self) -> AuditLog | None:
        if self.options.audit_log is None:
            return None
        log = AuditLog(self.options.audit_log)
        self._cleanup.callback(log.close)
        return log

    def _log_to_file(self) -> None:
        if self.options.log_file is not None:
            handler = to_file(self.options.log_file)
            self._logger.setLevel(logging.DEBUG)
            self._logger.addHandler(handler)
            self._cleanup.callback(handler.close)
            self._cleanup.callback(self._logger.removeHandler, handler)


def _temporary_folder(prefix: str) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise SetupError(
            f"No temporary directory can be made: {error}.",
            "Free some space, or set TMPDIR to another place.",
        ) from error
