"""The device of a measurement: one NVIDIA GPU or, for a dry run, this machine's CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lipserve.errors import SetupError

# Dense FP16 with FP32 sums, 10^12 operations a second, by what a part of the device's name says.
_PEAKS = (("H100 PCIe", 756.0), ("H100", 989.0), ("H200", 989.0), ("A100", 312.0))
_REPEATS = (3, 20)  # timed runs: at least, at most
_ENOUGH_SECONDS = 5.0


@dataclass(frozen=True)
class Device:
    """Device and dtype of the networks.

    Attributes:
        peak: what the data sheet promises, 10^12 operations a second; None where it is not known here.
    """

    place: torch.device
    name: str
    dtype: torch.dtype
    peak: float | None

    @property
    def is_gpu(self) -> bool:
        return self.place.type == "cuda"

    def median(self, work: Callable[[], object]) -> tuple[float, int]:
        """Return the median milliseconds of runs of `work` by the GPU's clock, and how many runs there were.

        Two runs before them warm up. A dry run has one, by the wall's clock: its time means nothing.
        """
        if not self.is_gpu:
            began = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - began), 1
        for _ in range(2):
            work()
        times: list[float] = []
        while len(times) < _REPEATS[0] or (len(times) < _REPEATS[1] and sum(times) < 1e3 * _ENOUGH_SECONDS):
            times.append(self._timed(work))
        return statistics.median(times), len(times)

    def _timed(self, work: Callable[[], object]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))


def find(dry_run: bool) -> Device:
    """Return the device; SetupError where there is no GPU and this is no dry run."""
    if dry_run:
        torch.set_num_threads(1)  # the smallest networks only wait for a second one
        return Device(torch.device("cpu"), "CPU (a dry run)", torch.float32, None)
    if not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise SetupError(
            f"PyTorch {torch.__version__} ({build}) finds no NVIDIA GPU on this machine.",
            "Run this on one that has a GPU, its driver and a CUDA build of PyTorch; --dry-run tries the "
            "code on the CPU.",
        )
    name = torch.cuda.get_device_name()
    return Device(torch.device("cuda"), name, torch.float16, peak(name))


def peak(name: str) -> float | None:
    """Return a device's `peak` by its name."""
    return next((promised for part, promised in _PEAKS if part in name), None)
