"""CPU time and memory of this process and of everything under the server's, while a block runs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import urllib.request
from types import TracebackType

import psutil

from lipserve.contracts import EVERY_MODEL
from lipserve.metrics_page import read_samples, sums

SAMPLE_SECONDS = 0.1


class Meter:
    """Measures a block.

    Attributes:
        wall: seconds.
        cpu: seconds, user and system, over all processes; of one that ends, what it had spent when it was
            last seen.
        peak: bytes of resident memory, summed over all processes (pages that they share count in each).
    """

    def __init__(self, *roots: int) -> None:
        self._roots = (os.getpid(), *roots)
        self.wall = self.cpu = 0.0
        self.peak = 0
        self._spent: dict[psutil.Process, float] = {}
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Meter:
        self._look()
        self._before = sum(self._spent.values())
        self._began = time.perf_counter()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall = time.perf_counter() - self._began
        self._done.set()
        self._sampler.join()
        self._look()
        self.cpu = sum(self._spent.values()) - self._before

    def _processes(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for root in self._roots:
            process = psutil.Process(root)
            found[root] = process
            found.update({child.pid: child for child in process.children(recursive=True)})
        return list(found.values())

    def _look(self) -> None:
        """Note what every process has spent until now, and how much memory all of them have."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._spent[process] = float(times.user + times.system)
                total += process.memory_info().rss
        self.peak = max(self.peak, total)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._look()


def stage_seconds(metrics_url: str) -> dict[str, float]:
    """Return the busy seconds of each stage and leaf model so far, from the server's own metrics."""
    with urllib.request.urlopen(metrics_url) as reply:
        samples = read_samples(reply.read().decode())
    models = sums(samples, "nv_inference_compute_infer_duration_us", "model")
    leaves = {name: value / 1e6 for name, value in models.items() if EVERY_MODEL[name].kind == "leaf"}
    return {**sums(samples, "lipserve_stage_seconds_sum", "stage"), **leaves}
