"""Bring dead models back: Triton 24.10 never starts a Python model's process again, and calls it ready.

Two signs of death are watched. The operating system says at once when a process is gone, also where a
living sibling would have answered in its place. `canaries` find those that live and do not answer.

A stage that has grown over a large request is started anew as well, when nobody asks for anything or others
find no room: what a process has shared with Triton it never gives back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from tritonclient.utils import InferenceServerException

from lipserve.contracts import Profile
from lipserve_server.inside import shm
from lipserve_server.inside.limits import MIB
from lipserve_server.launcher.canaries import Canaries
from lipserve_server.launcher.control import ModelControl
from lipserve_server.launcher.guard.admission import Admission, entrances
from lipserve_server.launcher.processes import alive, own_bytes, regions, stubs

WATCH_SECONDS = 0.25
CANARY_SECONDS = 3.0
RETRY_SECONDS = 2.0  # before the next try where bringing a model back failed
IDLE_SECONDS = 6.0  # without any request, before what has grown is started anew
LONG_IDLE_SECONDS = 20.0  # before what has grown a little is
RETIRED_SECONDS = 15.0  # that an old process may take to end by itself
FAT_BYTES = 1024 * MIB  # of a stage's process by itself ...
FAT_SHARED_BYTES = 64 * MIB  # ... and of the memory that it shares with Triton ...
GROWN_SHARED_BYTES = 16 * MIB  # ... after a long rest ...
SCARCE_BYTES = 4 * MIB  # ... and where that is scarce
QUIET_SECONDS = 20.0  # for requests at work to end, where others fail for want of memory


class Supervisor:
    """Watches one server, in a thread of its own, until it is stopped.

    Args:
        triton: its process.
        admission: lets no request begin for a model that is being started anew.
        prefix: of the names of its shared memory.
        starved: is set where a request found no room in that.

    Attributes:
        restarts: how often each model was brought back.
    """

    def __init__(
        self,
        triton: int,
        control: ModelControl,
        profile: Profile,
        admission: Admission,
        prefix: str,
        starved: threading.Event,
        logger: logging.Logger,
    ) -> None:
        self._triton = triton
        self._control = control
        self._admission = admission
        self._logger = logger
        self._canaries = Canaries(control.client, control.models, profile)
        self._shared = shm.SHM / prefix
        self._prefix = prefix
        self._starved = starved
        self._recycled: dict[str, float] = {}  # when
        self._regions: dict[int, set[Path]] = {}
        self._stubs: dict[int, str] = {}
        self._retired: dict[int, float] = {}  # since when
        self._know(stubs(triton))
        self.restarts: Counter[str] = Counter()
        self._lost: dict[str, float] = {}  # since when, by model
        self._next_try: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lipserve-supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the supervision; a restart in progress is completed first, within `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def lost(self) -> dict[str, float]:
        """Return the seconds that each dead model has been dead."""
        now = time.monotonic()
        return {model: now - since for model, since in self._lost.copy().items()}

    def canaries(self) -> set[str]:
        """Return the models with an outstanding canary."""
        return self._canaries.waiting()

    def _run(self) -> None:
        next_canary = time.monotonic()
        while not self._stopping.wait(WATCH_SECONDS):
            if not alive(self._triton):
                return  # whoever started the server sees that
            if time.monotonic() >= next_canary:
                self._canaries.send()
                self._bury()
                if not self._lost:
                    self._end_retired()
                    self._recycle()
                next_canary = time.monotonic() + CANARY_SECONDS
            for model in sorted(self._dead() | self._canaries.sick()):
                if time.monotonic() >= self._next_try.get(model, 0.0):
                    self._revive(model)

    def _dead(self) -> set[str]:
        return {model for process, model in self._stubs.items() if not alive(process)}

    def _revive(self, model: str) -> None:
        """Try once to restart a model; if it fails, a later round tries again."""
        if model not in self._lost:
            self._lost[model] = time.monotonic()
            self._logger.warning("A process of the model %s died; bringing the model back.", model)
        if not self._restart(model):
            return
        self.restarts[model] += 1
        seconds = time.monotonic() - self._lost.pop(model)
        self._logger.warning("The model %s is back after %.1f s.", model, seconds)

    def _restart(self, model: str) -> bool:
        """Restart a model's processes and return whether they run; its requests wait meanwhile."""
        before = stubs(self._triton)
        try:
            with self._admission.held_back(entrances(model)):
                self._control.reload(model)
                new = {
                    p: name for p, name in stubs(self._triton).items() if name == model and p not in before
                }
                others = {process: name for process, name in self._stubs.items() if name != model}
                # Most of the old model's living processes end by themselves when their requests are answered.
                self._retired |= dict.fromkeys(self._stubs.keys() - others.keys(), time.monotonic())
                self._know(others | new)
        except InferenceServerException as error:
            if alive(self._triton):
                self._logger.error("The model %s does not come back: %s", model, error.message())
            self._next_try[model] = time.monotonic() + RETRY_SECONDS
            return False
        self._canaries.forget(model)
        return True

    def _know(self, processes: dict[int, str]) -> None:
        """Add these processes to the supervision."""
        shm.close_to_others(self._prefix)
        self._stubs = processes
        self._regions |= {p: regions(p, self._shared) for p in processes.keys() - self._regions.keys()}

    def _bury(self) -> None:
        """Remove the names of dead processes' shared memory, also of those that were about to exit."""
        for process in [p for p in self._regions.keys() - self._stubs.keys() if not alive(p)]:
            for region in self._regions.pop(process):
                shm.forget(region)

    def _end_retired(self) -> None:
        """End leftover processes of restarted models: the siblings of a crashed one never exit."""
        self._retired = {process: since for process, since in self._retired.items() if alive(process)}
        if self._admission.idle_seconds() >= IDLE_SECONDS:
            for process, since in self._retired.items():
                if time.monotonic() - since >= RETIRED_SECONDS:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    def _recycle(self) -> None:
        """Restart the stage that has grown most, if the server is idle or memory is scarce."""
        idle, needed = self._admission.idle_seconds(), self._starved.is_set()
        if not (needed or idle >= IDLE_SECONDS):
            return
        most = GROWN_SHARED_BYTES if idle >= LONG_IDLE_SECONDS else FAT_SHARED_BYTES
        model = self._fattest(SCARCE_BYTES if needed or shm.is_scarce() else most)
        self._starved.clear()
        if model is None or self._recycled.get(model, 0.0) > time.monotonic() - idle:
            return
        models = entrances(model)
        with self._admission.held_back(models):
            if self._admission.quiet(models, QUIET_SECONDS if needed else 0.0):
                self._logger.info(
                    "The stage %s has grown in memory: it is started anew while it is idle.", model
                )
                self._recycled[model] = time.monotonic()
                self._restart(model)

    def _fattest(self, most: int) -> str | None:
        """Return the stage whose process has grown most, if beyond `most` bytes of shared memory."""
        stages = {model.name for model in self._control.models if model.kind == "stage"}
        shared = {
            process: sum(map(shm.size, self._regions.get(process, ())))
            for process, model in self._stubs.items()
            if model in stages
        }
        grown = [p for p, size in shared.items() if size > most or own_bytes(p) > FAT_BYTES]
        return self._stubs[max(grown, key=shared.__getitem__)] if grown else None
