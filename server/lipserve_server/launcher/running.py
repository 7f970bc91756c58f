"""One Triton: started with the same words each time, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tritonclient.utils import InferenceServerException

from lipserve.errors import SetupError
from lipserve_server.inside import shm
from lipserve_server.launcher import triton
from lipserve_server.launcher.control import ModelControl
from lipserve_server.launcher.log import TritonLog
from lipserve_server.launcher.processes import nameless_bytes


class RunningTriton:
    """A Triton that may be started again and again, one at a time, on one socket.

    Args:
        told: environment variables beyond this process's own.
        log: takes what it says.

    Attributes:
        pid: of the last one that was started.
    """

    def __init__(
        self,
        binary: Path,
        settings: triton.Settings,
        environment: Mapping[str, str],
        control: ModelControl,
        log: TritonLog,
    ) -> None:
        self.settings = settings
        self.control = control
        self.pid = 0
        self._line = triton.command(binary, settings)
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._pump: threading.Thread | None = None

    def poll(self) -> int | None:
        """Return the exit code of one that has ended by itself, or None."""
        return self._process.poll() if self._process else None

    def start(self, deadline: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Start it, and return when every model is loaded; it ends with the thread that calls this.

        Args:
            deadline: of `time.monotonic`.
            given_up: whether nobody waits for it any more.

        Raises:
            SetupError: it has ended, or is not ready in time.
        """
        self._process = triton.start(self._line, os.getpid(), {**os.environ, **self._environment})
        self.pid = self._process.pid
        self._pump = threading.Thread(target=self._log.pump, args=(self._process.stdout,), daemon=True)
        self._pump.start()
        while not self._is_ready():
            if self.poll() is not None or given_up() or time.monotonic() > deadline:
                code = self.poll()
                how = "did not become ready in time" if code is None else f"ended ({code})"
                raise SetupError(f"Triton {how}.", f"The end of its log:\n{self._log.tail()}")
            time.sleep(0.05)

    def end(self, gently: bool = False) -> None:
        """End it and all that it has started, and remove its socket and what it has shared.

        Args:
            gently: give it time to do so itself. Nobody waits for an answer of it any more.
        """
        if self._process is None or self._pump is None:
            return
        if gently:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(triton.EXIT_SECONDS + 4)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pump.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = self._pump = None
        self.settings.bound.unlink(missing_ok=True)
        shm.sweep(self.settings.shm_prefix)

    def kept(self) -> int:
        """Return how many bytes of shared memory it keeps of processes that are gone."""
        return nameless_bytes(self.pid, shm.SHM / self.settings.shm_prefix)

    def _is_ready(self) -> bool:
        try:
            return self.control.ready()
        except InferenceServerException:
            return False
