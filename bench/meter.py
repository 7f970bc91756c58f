"""CPU time and memory of this process and of everything under the server's, while a block runs."""

from __future__ import annotations

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
        wall: seconds. cpu: seconds, user and system, over all processes. peak: bytes of resident memory,
            summed over all processes (pages that they share count in each).
    """

    def __init__(self, *roots: int) -> None:
        self._roots = (os.getpid(), *roots)
        self.wall = self.cpu = 0.0
        self.peak = 0
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Meter:
        self._cpu_before = self._cpu()
        self._began = time.perf_counter()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall = time.perf_counter() - self._began
        self.cpu = self._cpu() - self._cpu_before
        self._done.set()
        self._sampler.join()

    def _processes(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for root in self._roots:
            process = psutil.Process(root)
            found[root] = process
            found.update({child.pid: child for child in process.children(recursive=True)})
        return list(found.values())

    def _cpu(self) -> float:
        times = [process.cpu_times() for process in self._processes()]
        return float(sum(t.user + t.system for t in times))

    def _sample(self) -> None:
        while True:
            total = 0
            for process in self._processes():
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)
            if self._done.wait(SAMPLE_SECONDS):
                return


def stage_seconds(metrics_url: str) -> dict[str, float]:
    """Return the busy seconds of each stage and leaf model so far, from the server's own metrics."""
    with urllib.request.urlopen(metrics_url) as reply:
        samples = read_samples(reply.read().decode())
    models = sums(samples, "nv_inference_compute_infer_duration_us", "model")
    leaves = {name: value / 1e6 for name, value in models.items() if EVERY_MODEL[name].kind == "leaf"}
    return {**sums(samples, "lipserve_stage_seconds_sum", "stage"), **leaves}
