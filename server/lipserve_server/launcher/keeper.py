"""Start Triton anew: where it has ended by itself, and at rest where it keeps the memory of the dead.

Triton 24.10 now and then ends (lock_exception) when one of its processes dies at work, or reports a metric on
a busy machine; and what a process that died at work has shared it keeps mapped for ever. The guard stays:
requests that come meanwhile wait there, and those that were at work fail in a way that clients retry.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from lipserve.errors import LipServeError
from lipserve_server.inside.limits import MIB
from lipserve_server.launcher.guard.admission import Admission

LOOK_SECONDS = 0.1  # between two looks whether Triton lives ...
REST_SECONDS = 25.0  # ... and without any request, before it is started anew for the memory that it keeps
KEPT_BYTES = 32 * MIB  # of the dead
ENDS = 3  # that are too many ...
WITHIN_SECONDS = 120.0  # ... in so short a time: starting it anew does not help


class Triton(Protocol):
    """A server that is kept running: see `server.TritonServer`."""

    def ended(self) -> bool:
        """Return whether its process has ended."""

    def kept(self) -> int:
        """Return how many bytes it keeps of processes that are gone."""

    def again(self) -> None:
        """Start it anew; SetupError where it does not come."""


class Keeper:
    """Keeps one Triton running, in a thread of its own: what this thread has started ends with it.

    Attributes:
        gave_up: whether Triton has ended too often, and stays so.
    """

    def __init__(self, triton: Triton, admission: Admission, logger: logging.Logger) -> None:
        self._triton = triton
        self._admission = admission
        self._logger = logger
        self._ends: list[float] = []  # when
        self._resting = threading.Event()
        self._over = threading.Event()
        self._busy = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lipserve-keeper", daemon=True)
        self.gave_up = False

    def start(self) -> None:
        self._thread.start()

    @property
    def resting(self) -> bool:
        """Whether nothing is started any more; what is being started is given up."""
        return self._resting.is_set()

    def rest(self) -> None:
        """Start nothing from now on."""
        self._resting.set()
        with self._busy:
            pass

    def end(self) -> None:
        """End the thread, and a Triton that it has started."""
        self.rest()
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._busy:
                if not self._resting.is_set() and not self.gave_up:
                    self._look()

    def _look(self) -> None:
        if self._triton.ended():
            now = time.monotonic()
            self._ends = [at for at in self._ends if now - at < WITHIN_SECONDS] + [now]
            if len(self._ends) >= ENDS:
                self.gave_up = True
                return
            self._start("Triton has ended")
        elif self._admission.idle_seconds() >= REST_SECONDS and self._triton.kept() > KEPT_BYTES:
            self._start("Triton keeps what dead processes have shared")

    def _start(self, why: str) -> None:
        began = time.monotonic()
        self._logger.warning("%s: it is started anew.", why)
        with self._admission.held_back(self._admission.lanes):
            try:
                self._triton.again()
            except LipServeError as error:
                self.gave_up = True
                if not self.resting:
                    self._logger.error("Triton does not come back: %s", error)
                return
        self._logger.warning("Triton is back after %.1f s.", time.monotonic() - began)
