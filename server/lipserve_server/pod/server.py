"""The pod's server: a Triton on a read-only store, with health and metrics."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal

from lipserve.errors import SetupError
from lipserve_server.inside.limits import MIB
from lipserve_server.inside.shm import SHM
from lipserve_server.launcher import tls, triton
from lipserve_server.launcher.keeper import REST_SECONDS
from lipserve_server.launcher.options import Options
from lipserve_server.launcher.server import TritonServer
from lipserve_server.pod import deletion_cost, page
from lipserve_server.pod.monitor import Load, Monitor, queues
from lipserve_server.pod.warmup import warm_up
from lipserve_server.repository.store import Assembly, assemble

HEAL_SECONDS = 30.0  # for a model to come back, until that is the whole pod's matter
_NOTICED_SECONDS = 6.0  # at most, until proxies have seen that a pod that drains is not ready
DEAF_SECONDS = 30.0  # without a look at Triton's metrics
# Shares of /dev/shm that Triton may keep for dead processes, at rest and at work: it never gives them back.
KEPT_SHARE_AT_REST, KEPT_SHARE_AT_WORK = 0.25, 0.5


class Pod(TritonServer):
    """A Triton that is ready when it has answered a clip.

    Args:
        store: exported graphs and engines; nothing is written there.
        work: a writable directory.
        identity: of this pod, where its deletion cost is told.
        heal_seconds: that a model may take to come back, unless loading all of them took longer.
    """

    def __init__(
        self,
        store: Path,
        work: Path,
        options: Options,
        identity: deletion_cost.Identity | None = None,
        heal_seconds: float = HEAL_SECONDS,
    ) -> None:
        super().__init__(options)
        self._store, self._work = store, work
        self._identity = identity
        self._heal_seconds = heal_seconds
        self._state: Literal["starting", "ready", "draining"] = "starting"
        self._assembly: Assembly | None = None
        self._monitor: Monitor | None = None
        self._start_seconds: float | None = None
        self._expiries = tls.expiries(options.tls) if options.tls else {}
        self._refusal: SetupError | None = None
        self._tellers = contextlib.ExitStack()

    def start(self) -> None:
        """Assemble the repository, start Triton, and send a clip through every ensemble."""
        deadline = time.monotonic() + self.options.ready_timeout
        installation = triton.find_any()
        try:
            self._assembly = assemble(self._store, self._work, self.options.profile)
        except SetupError as error:
            self._refusal = error
            raise
        began = time.monotonic()
        self.serve(installation, self._assembly, deadline)
        self._heal_seconds = max(self._heal_seconds, time.monotonic() - began)
        assert self.supervisor is not None
        warm_up(self.control.client, self._assembly.models, deadline)
        self._monitor = Monitor(
            self.metrics_url,
            self._assembly.models,
            self.supervisor.canaries,
            partial(self.admission.queue, queues(self._assembly.models)),
        )
        self._tell(self._monitor)
        if self._identity:
            self._tell(deletion_cost.DeletionCost(self._identity, self._work_at_hand))
        self._start_seconds = _age()
        self._state = "ready"

    def stop(self, force: bool = False) -> bool:
        """As `TritonServer.stop`; not ready from its first moment on."""
        if self._state == "ready":
            self._state = "draining"
        drained = super().stop(force)
        self._tellers.close()
        return drained

    def _drain(self) -> bool:
        drained = super()._drain()
        if self._guard is not None:
            self._guard.refuse_until_quiet(_NOTICED_SECONDS)
        self._tellers.close()  # before Triton ends: it would not answer them
        return drained

    def _tell(self, teller: Monitor | deletion_cost.DeletionCost) -> None:
        teller.start()
        self._tellers.callback(teller.stop)

    def _work_at_hand(self) -> int:
        return self._load.pending + self._load.in_flight

    @property
    def _load(self) -> Load:
        return self._monitor.load if self._monitor else Load(time.monotonic())

    def liveness_problems(self) -> list[str]:
        """Return the reasons to restart the pod; empty: /livez succeeds.

        A stage hangs where one of its processes has been at a segment for longer than the drain gives all.
        """
        if self._state != "ready" or self.supervisor is None:
            return []  # a start and a drain have time limits of their own
        if self.poll() is not None:
            return ["Triton has ended."]
        deaf = time.monotonic() - self._load.at
        lost, longest = self.supervisor.lost(), self._load.longest
        return [
            *([f"Triton has not told its metrics for {deaf:.0f} s."] if deaf > DEAF_SECONDS else []),
            *(
                f"The model {model} has been dead for {seconds:.0f} s."
                for model, seconds in sorted(lost.items())
                if seconds > self._heal_seconds
            ),
            *(
                f"{process} has been at one segment for {seconds:.0f} s."
                for process, seconds in sorted(longest.items())
                if seconds > self.exit_timeout
            ),
            *self._memory_problems(),
        ]

    def _memory_problems(self) -> list[str]:
        kept, room = self.kept(), shutil.disk_usage(SHM).total
        rests = self.admission.idle_seconds() >= REST_SECONDS
        if kept <= room * (KEPT_SHARE_AT_REST if rests else KEPT_SHARE_AT_WORK):
            return []
        return [
            f"Triton keeps {kept // MIB} of {room // MIB} MiB of shared memory for processes that have died."
        ]

    def readiness_problems(self) -> list[str]:
        """Return the reasons to send no requests here; empty: /readyz succeeds."""
        if self._refusal is not None:
            return [self._refusal.message]
        if self._state != "ready" or self.supervisor is None:
            return [f"The pod is {self._state}."]
        lost = [f"The model {model} is being brought back." for model in sorted(self.supervisor.lost())]
        return lost + self.liveness_problems()

    def page(self) -> str:
        """Return the metrics of the health port."""
        load, models = self._load, self._assembly.models if self._assembly else ()
        # Between two looks what waits grows older too.
        oldest = load.oldest + time.monotonic() - load.at if load.pending else 0.0
        return page.page(
            page.Status(
                ready=not self.readiness_problems(),
                draining=self._state == "draining",
                oldest=oldest,
                pending=load.pending,
                start_seconds=self._start_seconds,
                models=[m.name for m in models if m.kind != "ensemble"] if self.supervisor else [],
                lost=self.supervisor.lost() if self.supervisor else {},
                restarts=self.supervisor.restarts if self.supervisor else {},
                profile=self.options.profile,
                engines=self._assembly.engines if self._assembly else (),
                refusals=self.refused,
                usage=self.usage,
                refused=self._refusal.code if self._refusal else "",
                expiries=self._expiries,
                storage=(SHM, Path(tempfile.gettempdir()), self._work),
            )
        )


def _age() -> float:
    """Return the age of this process in seconds."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
